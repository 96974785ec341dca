-- Acceptance, for a caller's command and for the replay of a dead letter.

-- An idempotency key names its command, 16 bytes, and the hash of what it covers, if possible 16 bytes too.

local function packed_hash(hash)
  return #hash == 32 and string.find(hash, '^%x+$') and packed_hex(hash) or hash
end

-- The arguments from `first` on: id, charge point, action, payload, priority, class, most attempts, answer timeout
-- us, deadline ('A<us>' after now, 'T<at>,<max us>' at a moment), idempotency key ('' for none), content hash,
-- dead letter that is replayed ('' for none). Puts the answer; returns the id of the command that it names.
local function accept(first)
  local function given(i)
    return arg(first + i - 1)
  end
  local function answer(...)
    for _, part in ipairs({...}) do put(part) end
  end

  local id, cp, ikey, hash = given(1), given(2), given(10), given(11)
  if ikey ~= '' then
    local entry = redis.call('GET', key('k:' .. cp .. ':' .. ikey))
    if entry then
      local known, content = id_text(entry), string.sub(entry, 17)
      if content ~= packed_hash(hash) then return answer('refused', 'content', '0') end
      local c = command(known)
      answer('known', known, c and c.st or '')
      return known
    end
  end

  local deadline
  if string.sub(given(9), 1, 1) == 'A' then
    deadline = NOW + tonumber(string.sub(given(9), 2))
  else
    local at, most = string.match(given(9), '^T(%d+),(%d+)$')
    deadline = tonumber(at)
    if deadline <= NOW then return answer('refused', 'passed', '0') end
    if deadline > NOW + tonumber(most) then return answer('refused', 'far', '0') end
  end

  local d = device(cp)
  if d.op >= MAX_OPEN then return answer('refused', 'queue', MAX_OPEN) end
  if redis.call('XLEN', key('out')) >= MAX_OUTBOX then return answer('refused', 'outbox', MAX_OUTBOX) end

  -- Nobody looked after timers while there were none; that is no stall.
  if redis.call('ZCARD', key('due')) == 0 then redis.call('HSET', key('m'), 'lr', str(NOW)) end
  local arrival = redis.call('HINCRBY', key('m'), 'a', 1)
  local c = load_hash('c:' .. id, blank_command, save_command)
  c.id = id
  c.re = 1
  c.accepted = true
  c.body = given(4)
  local fields = {cp = cp, ac = given(3), pr = given(5), cl = given(6), ma = tonumber(given(7)),
    at = tonumber(given(8)), ik = ikey, ro = given(12), cr = str(NOW), dl = deadline, ep = EPOCH, st = 'P',
    sc = (3 - tonumber(given(5))) * ARRIVALS + arrival}
  for field, value in pairs(fields) do set(c, field, value) end
  set(d, 'op', d.op + 1)
  redis.call('SET', key('p:' .. id), c.body)
  if ikey ~= '' then redis.call('SET', key('k:' .. cp .. ':' .. ikey), id_bytes(id) .. packed_hash(hash)) end
  redis.call('ZADD', key('q:' .. cp), str(c.sc), id)
  redis.call('ZADD', key('all'), 0, listing(c))

  local claimed = claim_lanes(cp, false)
  answer('accepted', c.st)
  put_claimed(claimed)
  return id
end
