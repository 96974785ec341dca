-- Reads a pod's lease.
-- KEYS  1 base of the leases
-- ARGV  pod
-- Output  a list of no or one lease

local l = lease(arg(1))
put(l.inc > 0 and '1' or '0')
if l.inc > 0 then put_lease(l) end
return reply()
