-- Raises the pod's link number; an edge that names the present life makes it suspect no more.
-- KEYS  1 base of the leases
-- ARGV  pod, incarnation
-- Output  link number · a list of no or one lease

local l = lease(arg(1))
local known = l.inc > 0
set(l, 'link', l.link + 1)
if known and str(l.inc) == arg(2) then set(l, 'sus', '0') end
put(l.link)
put(known and '1' or '0')
if known then put_lease(l) end
return reply()
