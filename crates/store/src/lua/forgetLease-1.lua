-- Forgets a pod whose lease lapsed long ago. Its next life is above this one because the clock is.
-- KEYS  1 base of the leases
-- ARGV  pod, microseconds since the lease lapsed
-- Output  '1' if it was forgotten

local l = lease(arg(1))
local old = l.inc > 0 and l.exp + tonumber(arg(2)) <= NOW and l.inc < NOW
if old then
  redis.call('DEL', l.key)
  redis.call('ZREM', key('index'), l.id)
end
put(old and '1' or '0')
return reply()
