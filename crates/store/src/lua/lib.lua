-- The prelude of every script. It holds what the scripts share, and decides nothing: ROWS is the decision
-- table of the domain crate, rendered. KEYS[1] is the base of a place's keys. ARGV begins with
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

-- Commands. A field's short name is its name in Redis; this order is the order in replies and in the outbox.
local COMMAND = {'cp', 'ac', 'py', 'pr', 'cl', 'ma', 'at', 'rd', 'ik', 'ih', 'cr', 'dl', 'sc', 'ep',
  'st', 'n', 'mi', 'di', 'rp', 'ri', 'rv', 'no', 'wb', 'ti', 'mk', 're', 'rs', 'pw', 'an', 'en', 'rq'}
local COMMAND_ZEROS = {pr = 't', ma = 'n', at = 'n', cr = 't', dl = 'n', sc = 'n', n = 'n', mi = 'n', di = 'n',
  ri = 't', rv = 'n', no = 't', wb = 'n', ti = 'n', re = 'n', pw = 't', en = 'n', rq = 'n'}

-- Nil if there is no such command.
local function command(id)
  local c = load_hash('c:' .. id, COMMAND, COMMAND_ZEROS)
  if c.fresh and c.st == '' then return nil end
  c.id = id
  if c.mk == '' then c.mk = '-' end
  return c
end

local function payload(c)
  if not c.body then c.body = redis.call('GET', key('p:' .. c.id)) or '' end
  return c.body
end

local function pack(out, c, with_payload)
  out[#out + 1] = c.id
  for i = 1, #COMMAND do
    local f = COMMAND[i]
    out[#out + 1] = f == 'py' and (with_payload and payload(c) or '') or plain(c[f])
  end
end

-- Devices.
local DEVICE = {'pod', 'inc', 'ver', 'seq', 'fv', 'con', 'exp', 'reg', 'ov', 'ln', 'lu', 'op', 'rs'}
local DEVICE_ZEROS = {inc = 't', ver = 'n', seq = 'n', fv = 'n', con = 't', exp = 'n', reg = 'n', op = 'n', rs = 'n'}

local function device(cp)
  local d = load_hash('d:' .. cp, DEVICE, DEVICE_ZEROS)
  d.id = cp
  return d
end

local function has_route(d)
  return d.con == '1' and d.exp > NOW
end

local function put_device(d)
  put(d.id)
  for i = 1, #DEVICE do put(plain(d[DEVICE[i]])) end
end

-- Leaves a tombstone that keeps the version, if this connection is still the current one.
local function tombstone(cp, incarnation, version)
  local d = device(cp)
  if d.con ~= '1' or d.inc ~= incarnation or str(d.ver) ~= version then return false end
  set(d, 'con', '0')
  set(d, 'exp', 0)
  redis.call('ZREM', key('conn'), cp)
  return true
end

-- What leaves the slot.

local function put_note(cp, name, pod, incarnation, kind, a, b)
  local member = cp .. '\n' .. name
  redis.call('HSET', key('notes'), member, table.concat({pod, incarnation, kind, a, b}, '\n'))
  redis.call('ZADD', key('nq'), 0, member)
  wants_drain = true
end

local function push_outbox(kind, answer, c, with_payload)
  local number = redis.call('HINCRBY', key('m'), 'o', 1)
  local flat, entry = {}, {'XADD', key('out'), str(number) .. '-0', 'k', kind, 'a', answer}
  pack(flat, c, with_payload)
  entry[#entry + 1] = 'id'
  entry[#entry + 1] = flat[1]
  for i = 1, #COMMAND do
    entry[#entry + 1] = COMMAND[i]
    entry[#entry + 1] = flat[i + 1]
  end
  redis.call(unpack(entry))
  wants_drain = true
end

-- Changes of commands.

local function lane_of(c)
  return c.pr == '3' and 'lu' or 'ln'
end

local function next_due(c)
  if c.ti > 0 and c.mk == '-' then return math.min(c.ti, c.dl) end
  return c.ti > 0 and c.ti or c.dl
end

local function backoff(n)
  local step = math.min(BACKOFF_BASE_US * 2 ^ math.min(n - 1, 20), BACKOFF_CAP_US)
  return math.floor(step * JITTER / 65536)
end

local function new_timer(c, timer)
  if timer == 'k' then return c.ti end
  if timer == 'c' then return 0 end
  if timer == 'd' then return NOW + DISPATCH_LEASE_US end
  if timer == 'a' then return NOW + c.at end
  if timer == 's' then return NOW + GRANT_US + c.at + POD_LEASE_US end
  return NOW + backoff(math.max(c.n + c.mi, 1))
end

local function set_place(c, place)
  if place == 'k' then return end
  local d, lane = device(c.cp), lane_of(c)
  if place == 'q' then
    redis.call('ZADD', key('q:' .. c.cp), str(c.sc), c.id)
  else
    redis.call('ZREM', key('q:' .. c.cp), c.id)
  end
  if place == 'l' then
    set(d, lane, c.id)
  elseif d[lane] == c.id then
    set(d, lane, '')
  end
end

local function set_progress(c, row, event)
  local to, attempts = string.sub(row, 2, 2), string.sub(row, 5, 5)
  local missed = (to == 'P' and c.st == 'S') or attempts == 'r'
  if attempts == 's' then
    set(c, 'n', c.n + 1)
    set(c, 'mi', 0)
  elseif attempts == 'r' then
    set(c, 'n', math.max(c.n - 1, 0))
  end
  if missed then set(c, 'mi', c.mi + 1) end
  set(c, 'st', to)
  set(c, 'rs', REASONS[string.sub(row, 3, 3)])
  set(c, 'pw', string.sub(row, 4, 4))
  if string.sub(row, 8, 8) ~= 'k' then set(c, 'mk', string.sub(row, 8, 8)) end
  set(c, 're', c.re + 1)
  if string.sub(row, 9, 9) == 'g' then
    set(c, 'no', event.nonce)
    set(c, 'wb', NOW + GRANT_US)
  end
  set(c, 'ti', new_timer(c, string.sub(row, 7, 7)))
end

local function finish_command(c)
  local d = device(c.cp)
  set(d, 'op', math.max(d.op - 1, 0))
  set(d, 'rs', d.rs + 1)
  set(c, 'en', NOW)
  set(c, 'rq', d.rs)
  c.just_ended = true
  local dead = c.st == 'F' or c.st == 'E'
  push_outbox(dead and 'dead' or 'end', '', c, dead)
end

local function change(c, row, event)
  set_progress(c, row, event)
  if c.st == 'A' then set(c, 'an', event.answer) end
  set_place(c, string.sub(row, 6, 6))
  local also = string.sub(row, 9, 9)
  if also == 't' then
    tombstone(c.cp, event.incarnation, event.version)
  elseif also == 'c' and c.rp ~= '' then
    put_note(c.cp, 'cancel:' .. c.id, c.rp, c.ri, 'cancel', c.id, str(c.dl))
  end
  if not OPEN[c.st] then finish_command(c) end
end

local function fits(c, event)
  local fence = FENCES[event.kind]
  if fence == 0 then return true end
  local same = c.di > 0 and str(c.di) == event.dispatch and str(c.rv) == event.version
  return same and (fence == 1 or c.st == 'S' or c.no == event.nonce)
end

-- Looks the decision up and applies it; returns the verdict.
local function decide(c, event)
  local status = OPEN[c.st]
  if not status then
    if event.kind == 'answer' and c.st ~= 'A' and event.answer ~= '' then
      push_outbox('late', event.answer, c, false)
    end
    return 'ended'
  end
  local bits = 0
  if c.di > 0 or c.ep ~= EPOCH then bits = 1 end
  if c.n < c.ma then bits = bits + 2 end
  if fits(c, event) then bits = bits + 4 end
  local class = c.cl == 'u' and 1 or 0
  local index = (((EVENTS[event.kind] * 3 + status) * 2 + class) * 3 + MARKS[c.mk]) * 8 + bits
  local row = string.sub(ROWS, index * 9 + 1, index * 9 + 9)
  if string.sub(row, 2, 2) ~= '-' then change(c, row, event) end
  return VERDICTS[string.sub(row, 1, 1)]
end

-- Claims.

-- The first command of a lane whose deadline is ahead.
local function head(cp, lane)
  local low, high = str(ARRIVALS), '+inf'
  if lane == 'lu' then low, high = '-inf', '(' .. str(ARRIVALS) end
  local offset = 0
  while true do
    local ids = redis.call('ZRANGEBYSCORE', key('q:' .. cp), low, high, 'LIMIT', offset, 8)
    for i = 1, #ids do
      local c = command(ids[i])
      if c and c.dl > NOW then return c end
    end
    if #ids < 8 then return nil end
    offset = offset + 8
  end
end

-- Claims the head of each lane that is free, if there is a route. With force, a backoff does not hold it back.
local function claim_lanes(cp, force)
  local claimed = {count = 0}
  local d = device(cp)
  if not has_route(d) then return claimed end
  for _, lane in ipairs({'lu', 'ln'}) do
    local c = d[lane] == '' and head(cp, lane)
    if c and (force or c.ti <= NOW) then
      set(c, 'rp', d.pod)
      set(c, 'ri', d.inc)
      set(c, 'rv', d.ver)
      set(c, 'di', math.max(c.di, NOW) + 1)
      set(c, 'no', '0')
      set(c, 'wb', 0)
      decide(c, {kind = 'claim'})
      claimed.count = claimed.count + 1
      pack(claimed, c, true)
    end
  end
  return claimed
end

local function put_claimed(claimed)
  put(str(claimed.count))
  for i = 1, #claimed do put(claimed[i]) end
end

-- Writing back.

-- Only the end of a command sets a time to live.
local function expire(c)
  local retention, keep = str(math.ceil(RETENTION_US / 1000)), str(math.ceil(KEY_RETENTION_US / 1000))
  redis.call('PEXPIRE', c.key, retention)
  if c.st == 'F' or c.st == 'E' then
    redis.call('PEXPIRE', key('p:' .. c.id), retention)
  else
    redis.call('DEL', key('p:' .. c.id))
  end
  if c.ih ~= '' then redis.call('PEXPIRE', key('k:' .. c.cp .. ':' .. c.ik), keep) end
  redis.call('ZADD', key('gone'), str(NOW + RETENTION_US), c.cp .. '\n' .. c.id)
  redis.call('ZREM', key('due'), c.id)
end

local function write_back(o)
  local fields = {'HSET', o.key}
  for field in pairs(o.dirty) do
    fields[#fields + 1] = field
    fields[#fields + 1] = plain(o[field])
  end
  if #fields == 2 then return end
  redis.call(unpack(fields))
  if not o.st then return end
  if o.just_ended then
    expire(o)
  else
    redis.call('ZADD', key('due'), str(next_due(o)), o.id)
  end
  redis.call('PUBLISH', key('ch'), o.id .. ' ' .. str(o.re))
end

local function reply()
  for i = 1, #order do write_back(order[i]) end
  -- WAIT covers only this connection's last write: a reply that rests on an earlier one writes as well.
  if ARGV[4] == '1' then redis.call('HINCRBY', key('m'), 't', 1) end
  if wants_drain then OUT[2] = '1' end
  return OUT
end

-- Leases of pods.
local LEASE = {'inc', 'link', 'exp', 'sus', 'dr', 'topic', 'np', 'up', 'floor', 'epoch', 'proc'}
local LEASE_ZEROS = {inc = 'n', link = 'n', exp = 'n', sus = 't', dr = 't', np = 't', up = 't', floor = 'n', proc = 't'}

local function lease(pod)
  local l = load_hash('l:' .. pod, LEASE, LEASE_ZEROS)
  l.id = pod
  return l
end

local function put_lease(l)
  put(l.id)
  for i = 1, 9 do put(plain(l[LEASE[i]])) end
end

local function set_lease_end(l, at)
  set(l, 'exp', at)
  redis.call('ZADD', key('index'), str(at), l.id)
end
