-- Commands: how they lie in Redis and how they are told.
--
-- An open command is a hash, with its payload and its former attempts in keys beside it. An ended one is a single
-- packed string: a hash for each command that is merely kept would cost three times as much.

-- A field's short name is its name in Redis; this order is the order in replies and in the outbox.
local COMMAND = {'cp', 'ac', 'py', 'pr', 'cl', 'ma', 'at', 'ik', 'ro', 'cr', 'dl', 'sc', 'ep',
  'st', 'n', 'mi', 'di', 'rp', 'ri', 'rv', 'no', 'wb', 'ti', 'mk', 'wr', 're', 'rs', 'pw', 'an', 'en', 'rq'}

local function blank_command()
  return {cp = '', ac = '', py = '', pr = '0', cl = '', ma = 0, at = 0, ik = '', ro = '', cr = '0', dl = 0, sc = 0,
    ep = '', st = '', n = 0, mi = 0, di = 0, rp = '', ri = '0', rv = 0, no = '0', wb = 0, ti = 0, mk = '-', wr = 0,
    re = 0, rs = '', pw = '0', an = '', en = 0, rq = 0}
end

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

-- What is kept of an ended command, in this order; behind it, of a dead letter, what a replay needs, the former
-- attempts, and by which command it was replayed. Times after the acceptance are kept as distances from it, which
-- take less space.
local function pack_ended(c)
  local accepted = tonumber(c.cr)
  local values = {c.cp, c.ac, tonumber(c.pr), c.cl, c.ro, accepted, c.dl - accepted, c.st, c.n, c.rp,
    tonumber(c.ri), c.rv, c.re, c.rs, tonumber(c.pw), c.an, c.en - accepted, c.rq}
  if is_dead(c) then
    for _, value in ipairs({payload(c), c.ma, c.at, attempts(c), c.replayed or ''}) do values[#values + 1] = value end
  end
  return cmsgpack.pack(values)
end

local function unpack_ended(c, packed)
  local v = cmsgpack.unpack(packed)
  local accepted = v[6]
  c.cp, c.ac, c.pr, c.cl, c.ro, c.cr = v[1], v[2], v[3], v[4], v[5], accepted
  c.dl, c.st, c.n, c.rp, c.ri, c.rv = v[7] + accepted, v[8], v[9], v[10], v[11], v[12]
  c.re, c.rs, c.pw, c.an, c.en, c.rq = v[13], v[14], v[15], v[16], v[17] + accepted, v[18]
  c.body, c.ma, c.at, c.history, c.replayed = v[19] or '', v[20] or 0, v[21] or 0, v[22] or '', v[23] or ''
end

local function next_due(c)
  if c.ti > 0 and c.mk == '-' then return math.min(c.ti, c.dl) end
  return c.ti > 0 and c.ti or c.dl
end

local function publish(c)
  redis.call('PUBLISH', key('ch'), c.id .. ' ' .. c.re .. ' ' .. (c.out or 0))
end

-- Only the end of a command sets a time to live.
local function store_ended(c)
  local retention = is_dead(c) and DEAD_RETENTION_US or RETENTION_US
  -- A dead letter may have been pushed out in the very script in which it ended.
  if not c.gone then
    redis.call('SET', key('e:' .. c.id), pack_ended(c), 'PX', str(math.ceil(retention / 1000)))
  end
  redis.call('DEL', c.key, key('p:' .. c.id), key('h:' .. c.id))
  if c.ik ~= '' then
    redis.call('PEXPIRE', key('k:' .. c.cp .. ':' .. c.ik), str(math.ceil(KEY_RETENTION_US / 1000)))
  end
  redis.call('ZREM', key('due'), c.id)
end

local function save_command(c)
  if c.just_ended then
    store_ended(c)
  else
    write_fields(c)
    if c.remembers then redis.call('SET', key('h:' .. c.id), c.history) end
    redis.call('ZADD', key('due'), str(next_due(c)), c.id)
  end
  if c.dirty.re or c.accepted then publish(c) end
end

-- Nil if there is no such command.
local function command(id)
  local c = load_hash('c:' .. id, blank_command, save_command)
  c.id = id
  if c.gone then return nil end
  if c.st == '' then
    local packed = redis.call('GET', key('e:' .. id))
    if not packed then return nil end
    unpack_ended(c, packed)
  end
  -- The first revision is not stored, which keeps many a hash in a smaller block.
  if c.re == 0 then c.re = 1 end
  return c
end

-- Of an ended command only what is kept is told, whether it ended just now or before.
local function told_instead(c)
  if OPEN[c.st] then return {} end
  local told = {ik = '', sc = 0, ep = '', mi = 0, di = 0, no = '0', wb = 0, ti = 0, mk = '-', wr = 0}
  if not is_dead(c) then told.ma, told.at = 0, 0 end
  return told
end

local function pack(out, c, with_payload)
  local instead, n = told_instead(c), #out + 1
  instead.py = with_payload and payload(c) or ''
  out[n] = c.id
  for i = 1, #COMMAND do
    local f = COMMAND[i]
    out[n + i] = instead[f] or c[f]
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
