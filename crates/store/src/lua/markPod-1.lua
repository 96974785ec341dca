-- Marks a life as suspect, compared on the link that broke, or as draining.
-- KEYS  1 base of the leases
-- ARGV  pod, incarnation, 'suspect' and the link number, or 'draining'
-- Output  '1' if the mark was set

local l = lease(arg(1))
local marked = l.inc > 0 and str(l.inc) == arg(2)
if marked and arg(3) == 'suspect' then
  -- A link opened since then wins over the end of this one.
  marked = str(l.link) == arg(4)
  if marked then set(l, 'sus', '1') end
elseif marked then
  set(l, 'dr', '1')
end
put(marked and '1' or '0')
return reply()
