-- The prelude of every script, first part: what each is told, how it replies, and hashes. The prelude decides
-- nothing: ROWS is the decision table of the domain crate, rendered. KEYS[1] is the base of a place's keys. ARGV begins with
--   1 not_after  2 epoch  3 jitter  4 '1' if the script must write  5 the time, in tests only
-- and each script's own arguments follow. Every reply begins with the time and 'late', or '1' or '0': whether
-- something wants to be drained.

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
  return string.format('%.0f', n)
end

-- A stalled Redis must not run later what its caller has reported as failed.
if NOW > tonumber(ARGV[1]) then
  return {str(NOW), 'late'}
end

local OUT = {str(NOW), '0'}
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

local function packed_hex(hex)
  local function word(i)
    return tonumber(string.sub(hex, i, i + 7), 16)
  end
  return struct.pack('>I4I4I4I4', word(1), word(9), word(17), word(25))
end

local function hex(bytes)
  return string.format(string.rep('%02x', 16), string.byte(bytes, 1, 16))
end

local function id_text(bytes)
  return (string.gsub(hex(bytes), '^(........)(....)(....)(....)', '%1-%2-%3-%4-'))
end

local function id_bytes(id)
  return packed_hex((string.gsub(id, '-', '')))
end

-- Hashes are read once a script, and written back at its end: only the fields that changed.

local objects = {}
local order = {}

local function load_hash(name, fields, zeros)
  local o = objects[name]
  if o then return o end
  o = {dirty = {}, fresh = true, key = key(name)}
  local flat = redis.call('HGETALL', o.key)
  for i = 1, #flat, 2 do
    o[flat[i]] = flat[i + 1]
    o.fresh = false
  end
  for i = 1, #fields do
    local f = fields[i]
    if zeros[f] then
      o[f] = zeros[f] == 'n' and tonumber(o[f] or 0) or (o[f] or '0')
    else
      o[f] = o[f] or ''
    end
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

local function plain(value)
  return type(value) == 'number' and str(value) or value
end
