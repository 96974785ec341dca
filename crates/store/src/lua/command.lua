-- Commands and devices: how they lie in Redis and how they are told.
--
-- An open command is a hash, with its payload and its former attempts in keys beside it. An ended one is a single
-- packed string: a hash for each command that is merely kept would cost three times as much.

-- A field's short name is its name in Redis; this order is the order in replies and in the outbox.
local COMMAND = {'cp', 'ac', 'py', 'pr', 'cl', 'ma', 'at', 'ik', 'ro', 'cr', 'dl', 'sc', 'ep',
  'st', 'n', 'mi', 'di', 'rp', 'ri', 'rv', 'no', 'wb', 'ti', 'mk', 'wr', 're', 'rs', 'pw', 'an', 'en', 'rq'}
-- What a field is when it is absent: 'n' the number 0, 't' the text '0', otherwise the empty text.
local COMMAND_ZEROS = {pr = 't', ma = 'n', at = 'n', cr = 't', dl = 'n', sc = 'n', n = 'n', mi = 'n', di = 'n',
  ri = 't', rv = 'n', no = 't', wb = 'n', ti = 'n', wr = 'n', re = 'n', pw = 't', en = 'n', rq = 'n'}
-- What is kept of an ended command, in this order; behind it, of a dead letter, what a replay needs, the former
-- attempts, and by which command it was replayed.
local ENDED = {'cp', 'ac', 'pr', 'cl', 'ro', 'cr', 'dl', 'st', 'n', 'rp', 'ri', 'rv', 're', 'rs', 'pw', 'an', 'en', 'rq'}
local KEPT = {}
for i = 1, #ENDED do KEPT[ENDED[i]] = true end
-- Times after the acceptance are kept as distances from it, which take less space.
local DISTANCE = {dl = true, en = true}

local function is_dead(c)
  return c.st == 'F' or c.st == 'E'
end

local function payload(c)
  if not c.body then c.body = redis.call('GET', key('p:' .. c.id)) or '' end
  return c.body
end

-- Former attempts, a line each: number, time, pod, incarnation, version, outcome.
local function attempts(c)
  if not c.history then c.history = redis.call('GET', key('h:' .. c.id)) or '' end
  return c.history
end

local function remember(c, outcome)
  local line = table.concat({str(c.n), str(c.wr), c.rp, c.ri, str(c.rv), outcome}, ' ') .. '\n'
  local text = attempts(c) .. line
  local _, count = string.gsub(text, '\n', '')
  if count > ATTEMPTS_KEPT then text = string.match(text, '^[^\n]*\n(.*)$') end
  c.history = text
  c.remembers = true
end

local function pack_ended(c)
  local values = {}
  for i = 1, #ENDED do
    local f = ENDED[i]
    values[i] = COMMAND_ZEROS[f] and tonumber(c[f]) or c[f]
    if DISTANCE[f] then values[i] = values[i] - tonumber(c.cr) end
  end
  if is_dead(c) then
    for _, value in ipairs({payload(c), c.ma, c.at, attempts(c), c.replayed or ''}) do values[#values + 1] = value end
  end
  return cmsgpack.pack(values)
end

local function unpack_ended(c, packed)
  local values = cmsgpack.unpack(packed)
  for i = 1, #ENDED do
    local f = ENDED[i]
    c[f] = COMMAND_ZEROS[f] == 't' and str(values[i]) or values[i]
    if DISTANCE[f] then c[f] = values[i] + tonumber(c.cr) end
  end
  local dead = #ENDED
  c.body, c.ma, c.at = values[dead + 1] or '', values[dead + 2] or 0, values[dead + 3] or 0
  c.history, c.replayed = values[dead + 4] or '', values[dead + 5] or ''
end

-- Nil if there is no such command.
local function command(id)
  local c = load_hash('c:' .. id, COMMAND, COMMAND_ZEROS)
  c.id = id
  if c.gone then return nil end
  if c.st == '' then
    local packed = redis.call('GET', key('e:' .. id))
    if not packed then return nil end
    unpack_ended(c, packed)
  end
  if c.mk == '' then c.mk = '-' end
  -- The first revision is not stored, which keeps many a hash in a smaller block.
  if c.re == 0 then c.re = 1 end
  return c
end

-- Of an ended command only what is kept is told, whether it ended just now or before.
local function told(c, f)
  if OPEN[c.st] or KEPT[f] or (is_dead(c) and (f == 'ma' or f == 'at')) then return plain(c[f]) end
  if f == 'mk' then return '-' end
  return COMMAND_ZEROS[f] and '0' or ''
end

local function pack(out, c, with_payload)
  out[#out + 1] = c.id
  for i = 1, #COMMAND do
    local f = COMMAND[i]
    out[#out + 1] = f == 'py' and (with_payload and payload(c) or '') or told(c, f)
  end
end

-- Every stored command is listed, by charger and then by id, which begins with its time.
local function listing(c)
  return c.cp .. '\n' .. id_bytes(c.id)
end

local function listed(member)
  local cp = string.match(member, '^[^\n]*')
  return cp, id_text(string.sub(member, #cp + 2))
end

-- Where a listing goes on after a charger's command, or at the charger, or at the front.
local function after_listed(cp, id)
  if cp == '' then return '-' end
  return id ~= '' and '(' .. cp .. '\n' .. id_bytes(id) or '[' .. cp .. '\n'
end

-- Removes a dead letter with its command.
local function forget_dead_letter(id)
  local c = command(id)
  if c then
    redis.call('ZREM', key('all'), listing(c))
    c.gone = true
  end
  redis.call('DEL', key('e:' .. id))
  redis.call('ZREM', key('dl'), id)
end

-- Lists a dead letter; beyond the bound, the oldest leave.
local function list_dead_letter(c)
  redis.call('ZADD', key('dl'), str(NOW + DEAD_RETENTION_US), c.id)
  local surplus = redis.call('ZCARD', key('dl')) - MAX_DEAD
  if surplus > 0 then
    for _, oldest in ipairs(redis.call('ZRANGE', key('dl'), 0, surplus - 1)) do forget_dead_letter(oldest) end
  end
end

local function put_dead_letter(out, c)
  pack(out, c, true)
  out[#out + 1] = attempts(c)
  out[#out + 1] = c.replayed or ''
end

-- Devices.
local DEVICE = {'pod', 'inc', 'ver', 'seq', 'fv', 'con', 'exp', 'reg', 'ov', 'ln', 'lu', 'op', 'rs', 'sk'}
local DEVICE_ZEROS = {inc = 't', ver = 'n', seq = 'n', fv = 'n', con = 't', exp = 'n', reg = 'n', op = 'n', rs = 'n',
  sk = 'n'}

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
