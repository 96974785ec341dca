-- Accepts a command, with its own claim; a known idempotency key is answered with the command it names.
-- KEYS  1 base of the slot
-- ARGV  id, charge point, action, payload, priority, class, most attempts, answer timeout us, deadline
--       ('A<us>' after now, 'T<at>,<max us>' at a moment), idempotency key, content hash ('' for no key)
-- Output  'accepted' status claims · 'known' id status · 'refused' why limit

local id, cp = arg(1), arg(2)
local ikey, hash = arg(10), arg(11)

local function answer(...)
  for _, part in ipairs({...}) do put(part) end
  return reply()
end

if hash ~= '' then
  local entry = redis.call('GET', key('k:' .. cp .. ':' .. ikey))
  if entry then
    local known, content = string.match(entry, '^([^|]*)|(.*)$')
    if content ~= hash then return answer('refused', 'content', '0') end
    return answer('known', known, redis.call('HGET', key('c:' .. known), 'st') or '')
  end
end

local deadline
if string.sub(arg(9), 1, 1) == 'A' then
  deadline = NOW + tonumber(string.sub(arg(9), 2))
else
  local at, most = string.match(arg(9), '^T(%d+),(%d+)$')
  deadline = tonumber(at)
  if deadline <= NOW then return answer('refused', 'passed', '0') end
  if deadline > NOW + tonumber(most) then return answer('refused', 'far', '0') end
end

local d = device(cp)
if d.op >= MAX_OPEN then return answer('refused', 'queue', str(MAX_OPEN)) end
if redis.call('XLEN', key('out')) >= MAX_OUTBOX then return answer('refused', 'outbox', str(MAX_OUTBOX)) end

local arrival = redis.call('HINCRBY', key('m'), 'a', 1)
local c = load_hash('c:' .. id, COMMAND, COMMAND_ZEROS)
c.id = id
c.mk = '-'
c.body = arg(4)
local fields = {cp = cp, ac = arg(3), pr = arg(5), cl = arg(6), ma = tonumber(arg(7)), at = tonumber(arg(8)),
  rd = arg(9), ik = ikey, ih = hash, cr = str(NOW), dl = deadline, ep = EPOCH, st = 'P', re = 1,
  sc = (3 - tonumber(arg(5))) * ARRIVALS + arrival}
for field, value in pairs(fields) do set(c, field, value) end
set(d, 'op', d.op + 1)
redis.call('SET', key('p:' .. id), c.body)
if hash ~= '' then redis.call('SET', key('k:' .. cp .. ':' .. ikey), id .. '|' .. hash) end
redis.call('ZADD', key('q:' .. cp), str(c.sc), id)
redis.call('ZADD', key('all'), 0, cp .. '\n' .. id)

local claimed = claim_lanes(cp, false)
put('accepted')
put(c.st)
put_claimed(claimed)
return reply()
