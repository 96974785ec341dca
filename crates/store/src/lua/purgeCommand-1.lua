-- Removes an ended command before its retention ends.
-- KEYS  1 base of the slot
-- ARGV  id
-- Output  '1' if it was removed

local c = command(arg(1))
if not c or OPEN[c.st] then
  put('0')
  return reply()
end
local member = c.cp .. '\n' .. c.id
redis.call('DEL', c.key, key('p:' .. c.id))
redis.call('ZREM', key('all'), member)
redis.call('ZREM', key('gone'), member)
put('1')
return reply()
