-- Takes or renews the drain lease, and reads what is to leave the slot; trimming gives the lease back.
-- KEYS  1 base of the slot
-- ARGV  holder, lease us, most entries and notes, the number after which entries are read
-- Output  '1' if the lease is held · entries: number, kind, answer, command · notes: charge point, pod,
--         incarnation, kind, two facts, next sending

local holder, limit = arg(1), arg(3)
local held = redis.call('HMGET', key('drain'), 'holder', 'until')
if held[1] and held[1] ~= holder and tonumber(held[2]) > NOW then
  put('0')
  put('0')
  put('0')
  return reply()
end
-- Redis at its memory limit refuses a script's first write unless it frees memory. Draining is how memory
-- becomes free, so it begins with such a write.
redis.call('DEL', key('drain'))
put('1')

local entries = redis.call('XRANGE', key('out'), '(' .. arg(4) .. '-0', '+', 'COUNT', limit)
put(#entries)
for _, entry in ipairs(entries) do put_entry(entry) end

local due = redis.call('ZRANGEBYSCORE', key('nq'), '-inf', str(NOW), 'LIMIT', 0, limit)
put(#due)
for _, member in ipairs(due) do
  local packed = redis.call('HGET', key('notes'), member) or ''
  put(string.match(member, '^[^\n]*'))
  for part in string.gmatch(packed, '[^\n]+') do put(part) end
  put(NOW + NOTE_RESEND_US)
  redis.call('ZADD', key('nq'), str(NOW + NOTE_RESEND_US), member)
end
-- The lease lasts while something is on its way: who finds nothing takes none, and who reads behind what it found before
-- keeps the one it has.
if #entries + #due > 0 or held[1] == holder and arg(4) ~= '0' then
  redis.call('HSET', key('drain'), 'holder', holder, 'until', str(NOW + tonumber(arg(2))))
end
return reply()
