-- Tells of several slots whether a round over their timers would find anything, and what every round tells.
-- KEYS  1 base of the first of them
-- ARGV  bases of all of them, which lie on this server: a cluster is not asked
-- Output  per base: '1' if it wants a round, else '0' · outbox entries ever

local function wants_round(base)
  if redis.call('EXISTS', base .. ':due', base .. ':notes') > 0 or redis.call('XLEN', base .. ':out') > 0 then return true end
  return redis.call('ZCOUNT', base .. ':dl', '-inf', str(NOW)) > 0
end

for i = 6, #ARGV do
  put(wants_round(ARGV[i]) and '1' or '0')
  put(redis.call('HGET', ARGV[i] .. ':m', 'o') or '0')
end
return reply()
