-- Ends a lease at once, because its edge exits.
-- KEYS  1 base of the leases
-- ARGV  pod, incarnation
-- Output  '1' if it was this life's

local l = lease(arg(1))
local own = l.inc > 0 and str(l.inc) == arg(2)
if own then set_lease_end(l, 0) end
put(own and '1' or '0')
return reply()
