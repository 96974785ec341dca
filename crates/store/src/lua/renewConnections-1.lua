-- Keeps registrations that are still the current ones, and claims what waits for them.
-- KEYS  1 base of the slot
-- ARGV  '1' to claim whatever its backoff, then for each connection: charge point, pod, incarnation, version
-- Output  for each connection: '1' if it is current, claims

local force = arg(1) == '1'
local i = 2
while arg(i) do
  local cp = arg(i)
  local d = device(cp)
  if d.con == '1' and d.pod == arg(i + 1) and d.inc == arg(i + 2) and str(d.ver) == arg(i + 3) then
    set(d, 'exp', NOW + CONNECTION_TTL_US)
    redis.call('ZADD', key('conn'), str(d.exp), cp)
    put('1')
    put_claimed(claim_lanes(cp, force))
  else
    put('0')
    put('0')
  end
  i = i + 4
end
return reply()
