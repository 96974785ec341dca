-- Tells of several slots whether they want a round over their timers, and what every round tells.
-- KEYS  1 base of the first of them
-- ARGV  bases of all of them, which lie on this server: a cluster is not asked
-- Output  per base: '1' if it wants a round, else '0' · outbox entries ever

-- One with open commands wants a round also while none is due: rounds note the time, else the next one takes that for
-- a stall.
local function wants_round(base)
  if redis.call('EXISTS', base .. ':due', base .. ':notes') > 0 then return true end
  if redis.call('XLEN', base .. ':out') > 0 then return true end
  return redis.call('ZCOUNT', base .. ':dl', '-inf', str(NOW)) > 0
end

local i = 1
while arg(i) do
  put(wants_round(arg(i)) and '1' or '0')
  put(redis.call('HGET', arg(i) .. ':m', 'o') or '0')
  i = i + 1
end
return reply()
