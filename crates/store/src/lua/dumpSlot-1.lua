-- Reads a whole slot, for tests; with '1', removes it afterwards.
-- KEYS  1 base of the slot
-- ARGV  '1' to remove
-- Output  counters, last round, hold · devices · commands · queues · timers · idempotency keys · outbox · notes ·
--         attempts · dead letters · listed commands · connected · keys with a time to live

for _, counter in ipairs({'a', 'o', 'lr', 'hold'}) do put(redis.call('HGET', key('m'), counter) or '0') end

local all = redis.call('KEYS', key('*'))

local function each(kind, list)
  local start, names = key(kind .. ':'), {}
  for _, name in ipairs(all) do
    if string.sub(name, 1, #start) == start then names[#names + 1] = name end
  end
  put(#names)
  for _, name in ipairs(names) do list(string.sub(name, #start + 1), name) end
end

local function scored(name)
  local flat = redis.call('ZRANGE', name, 0, -1, 'WITHSCORES')
  put(#flat / 2)
  for i = 1, #flat, 2 do
    put(flat[i])
    put(tonumber(flat[i + 1]))
  end
end

each('d', function(cp) put_device(device(cp)) end)
local ids, dead = {}, {}
for _, kind in ipairs({'c:', 'e:'}) do
  local start = key(kind)
  for _, name in ipairs(all) do
    if string.sub(name, 1, #start) == start then ids[#ids + 1] = string.sub(name, #start + 1) end
  end
end
put(#ids)
for _, id in ipairs(ids) do pack(OUT, command(id), true) end
each('q', function(cp, name)
  put(cp)
  scored(name)
end)
scored(key('due'))
each('k', function(rest, name)
  local entry = redis.call('GET', name)
  local content = string.sub(entry, 17)
  put(rest)
  put(id_text(entry))
  put(#content == 16 and hex(content) or content)
end)
local entries = redis.call('XRANGE', key('out'), '-', '+')
put(#entries)
for _, entry in ipairs(entries) do put_entry(entry) end
local notes = redis.call('HGETALL', key('notes'))
put(#notes / 2)
for i = 1, #notes, 2 do
  put(string.match(notes[i], '^[^\n]*'))
  for part in string.gmatch(notes[i + 1], '[^\n]+') do put(part) end
  put(tonumber(redis.call('ZSCORE', key('nq'), notes[i])))
end
put(#ids)
for _, id in ipairs(ids) do
  put(id)
  put(attempts(command(id)))
end
for _, id in ipairs(ids) do
  if is_dead(command(id)) then dead[#dead + 1] = id end
end
put(#dead)
for _, id in ipairs(dead) do
  put(id)
  put(tonumber(redis.call('ZSCORE', key('dl'), id) or 0))
  put(command(id).replayed or '')
end
put(redis.call('ZCARD', key('dl')))
local members = redis.call('ZRANGE', key('all'), 0, -1)
put(#members)
for _, member in ipairs(members) do
  local cp, id = listed(member)
  put(cp)
  put(id)
end
scored(key('conn'))

local expiring = {}
for _, name in ipairs(all) do
  if redis.call('PTTL', name) >= 0 then expiring[#expiring + 1] = string.sub(name, #BASE + 2) end
end
put(#expiring)
for _, name in ipairs(expiring) do put(name) end
if arg(1) == '1' then
  for _, name in ipairs(all) do redis.call('DEL', name) end
end
return reply()
