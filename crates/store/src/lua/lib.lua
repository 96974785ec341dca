-- The prelude of every script, first part: what each is told, how it replies, and hashes. The prelude decides
-- nothing: ROWS is the decision table of the domain crate, rendered. KEYS[1] is the base of a place's keys. ARGV begins with
--   1 not_after  2 epoch  3 jitter  4 '1' if the script must write  5 the time, in tests only
-- and each script's own arguments follow. Every reply begins with the time and 'late', or '1' or '0': whether
-- something wants to be drained.
--
-- A script gets of the prelude only what it uses, so every definition starts at the left margin and says `local`.
-- Whole numbers go into the reply as they are, which is faster; to Redis they go as text, since some versions would
-- write 300000000 as 3e+8.

local BASE = KEYS[1]
local NOW = @CLOCK@
local EPOCH = ARGV[2]
local JITTER = tonumber(ARGV[3])
@SETTINGS@
local EVENTS = {@EVENTS@}
local FENCES = {@FENCES@}
local ROWS = '@ROWS@'
local VERDICTS = {a = 'applied', r = 'repeated', n = 'noted', s = 'stale', e = 'ended'}
local REASONS = {['-'] = '', n = 'NO_ANSWER', u = 'OUTCOME_UNKNOWN'}
local OPEN = {P = 0, S = 1, D = 2}
local MARKS = {['-'] = 0, d = 1, c = 2}

-- Numbers above 14 digits lose digits in tostring.
local function str(n)
  return string.format('%d', n)
end

-- A stalled Redis must not run later what its caller has reported as failed.
if NOW > tonumber(ARGV[1]) then
  return {NOW, 'late'}
end

local OUT = {NOW, '0'}
local wants_drain = false

local function arg(i)
  return ARGV[5 + i]
end

local function key(suffix)
  return BASE .. ':' .. suffix
end

local function put(value)
  OUT[#OUT + 1] = value
end

-- 32 hexadecimal digits as 16 bytes, and back.

local function packed_hex(digits)
  local sub = string.sub
  return struct.pack('>I4I4I4I4', tonumber(sub(digits, 1, 8), 16), tonumber(sub(digits, 9, 16), 16),
    tonumber(sub(digits, 17, 24), 16), tonumber(sub(digits, 25, 32), 16))
end

local function hex(bytes)
  return string.format('%08x%08x%08x%08x', struct.unpack('>I4I4I4I4', bytes))
end

local function id_text(bytes)
  return string.format('%08x-%04x-%04x-%04x-%04x%08x', struct.unpack('>I4I2I2I2I2I4', bytes))
end

local function id_bytes(id)
  local sub = string.sub
  return struct.pack('>I4I4I4I4', tonumber(sub(id, 1, 8), 16), tonumber(sub(id, 10, 13) .. sub(id, 15, 18), 16),
    tonumber(sub(id, 20, 23) .. sub(id, 25, 28), 16), tonumber(sub(id, 29, 36), 16))
end

-- Hashes are read once a script, and written back at its end: only the fields that changed.

local objects = {}
local order = {}

local function write_fields(o)
  local fields, n = {'HSET', o.key}, 2
  for field in pairs(o.dirty) do
    local value = o[field]
    fields[n + 1], fields[n + 2] = field, type(value) == 'number' and str(value) or value
    n = n + 2
  end
  redis.call(unpack(fields))
end

-- What is absent in Redis is as in `blank`, where a 0 also says that the field is a number. `save` writes back.
local function load_hash(name, blank, save)
  local o = objects[name]
  if o then return o end
  o = blank()
  o.key, o.save, o.dirty = key(name), save, {}
  local flat = redis.call('HGETALL', o.key)
  o.fresh = #flat == 0
  for i = 1, #flat, 2 do
    local field, value = flat[i], flat[i + 1]
    o[field] = o[field] == 0 and tonumber(value) or value
  end
  objects[name] = o
  order[#order + 1] = o
  return o
end

local function set(o, field, value)
  if o[field] ~= value then
    o[field] = value
    o.dirty[field] = true
  end
end

-- The number of an outbox entry and its values: kind, answer, attempts, OCPP version, command. Entries of a release
-- before this one have a field for each value.
local function put_entry(entry)
  local fields = entry[2]
  put(string.match(entry[1], '^%d+'))
  if #fields > 2 then
    for i = 2, #fields, 2 do put(fields[i]) end
  else
    local values, n = cmsgpack.unpack(fields[2]), #OUT
    for i = 1, #values do OUT[n + i] = values[i] end
  end
end

local function reply()
  for i = 1, #order do
    local o = order[i]
    if next(o.dirty) then o.save(o) end
  end
  -- WAIT covers only this connection's last write: a reply that rests on an earlier one writes as well.
  if ARGV[4] == '1' then redis.call('HINCRBY', key('m'), 't', 1) end
  if wants_drain then OUT[2] = '1' end
  return OUT
end
