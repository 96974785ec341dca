-- Reads every pod's lease, by its end.
-- KEYS  1 base of the leases
-- ARGV  none
-- Output  leases

local pods = redis.call('ZRANGE', key('index'), 0, -1)
put(#pods)
for _, pod in ipairs(pods) do put_lease(lease(pod)) end
return reply()
