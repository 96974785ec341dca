-- Removes outbox entries and notes, and gives the drain lease back: whatever came meanwhile, and woke a router that
-- found the slot taken, is told of here.
-- KEYS  1 base of the slot
-- ARGV  holder, count of numbers, the numbers, then members of the notes
-- Output  '1' if entries are left

local holder, count = arg(1), tonumber(arg(2))
-- Many in one call, but no more than Lua's stack surely holds.
for first = 1, count, 1000 do
  local call = {'XDEL', key('out')}
  for i = first, math.min(first + 999, count) do call[#call + 1] = arg(2 + i) .. '-0' end
  redis.call(unpack(call))
end
if redis.call('HGET', key('drain'), 'holder') == holder then redis.call('DEL', key('drain')) end
local i = count + 3
while arg(i) do
  redis.call('HDEL', key('notes'), arg(i))
  redis.call('ZREM', key('nq'), arg(i))
  i = i + 1
end
put(redis.call('XLEN', key('out')) > 0 and '1' or '0')
return reply()
