-- Removes outbox entries and notes.
-- KEYS  1 base of the slot
-- ARGV  count of numbers, the numbers, then members of the notes
-- Output  nothing

local count = tonumber(arg(1))
for i = 1, count do redis.call('XDEL', key('out'), arg(1 + i) .. '-0') end
local i = count + 2
while arg(i) do
  redis.call('HDEL', key('notes'), arg(i))
  redis.call('ZREM', key('nq'), arg(i))
  i = i + 1
end
return reply()
