-- Reads a whole slot, for tests; with '1', removes it afterwards.
-- KEYS  1 base of the slot
-- ARGV  '1' to remove
-- Output  counters · devices · commands · queues · timers · idempotency keys · outbox · notes · listing ·
--         connected · keys with a time to live

local counters = redis.call('HMGET', key('m'), 'a', 'o')
put(counters[1] or '0')
put(counters[2] or '0')

local all = redis.call('KEYS', key('*'))

local function each(kind, list)
  local start, names = key(kind .. ':'), {}
  for _, name in ipairs(all) do
    if string.sub(name, 1, #start) == start then names[#names + 1] = name end
  end
  put(str(#names))
  for _, name in ipairs(names) do list(string.sub(name, #start + 1), name) end
end

local function scored(name)
  local flat = redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')
  put(str(#flat / 2))
  for i = 1, #flat, 2 do
    put(flat[i])
    put(str(tonumber(flat[i + 1])))
  end
end

each('d', function(cp) put_device(device(cp)) end)
each('c', function(id) pack(OUT, command(id), true) end)
each('q', function(cp, name)
  put(cp)
  scored(name)
end)
scored(key('due'))
each('k', function(rest, name)
  put(rest)
  put(redis.call('GET', name))
end)
local entries = redis.call('XRANGE', key('out'), '-', '+')
put(str(#entries))
for _, entry in ipairs(entries) do
  put(string.match(entry[1], '^%d+'))
  for i = 2, #entry[2], 2 do put(entry[2][i]) end
end
local notes = redis.call('HGETALL', key('notes'))
put(str(#notes / 2))
for i = 1, #notes, 2 do
  put(string.match(notes[i], '^[^\n]*'))
  for part in string.gmatch(notes[i + 1], '[^\n]+') do put(part) end
  put(str(tonumber(redis.call('ZSCORE', key('nq'), notes[i]))))
end
scored(key('all'))
scored(key('conn'))

local expiring = {}
for _, name in ipairs(all) do
  if redis.call('PTTL', name) >= 0 then expiring[#expiring + 1] = string.sub(name, #BASE + 2) end
end
put(str(#expiring))
for _, name in ipairs(expiring) do put(name) end
if arg(1) == '1' then
  for _, name in ipairs(all) do redis.call('DEL', name) end
end
return reply()
