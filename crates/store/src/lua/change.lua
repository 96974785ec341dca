-- What changes a command, and what leaves the slot because of it. The decision is looked up in ROWS.

local function put_note(cp, name, pod, incarnation, kind, a, b)
  local member = cp .. '\n' .. name
  redis.call('HSET', key('notes'), member, table.concat({pod, incarnation, kind, a, b}, '\n'))
  redis.call('ZADD', key('nq'), 0, member)
  wants_drain = true
end

-- One field, since Redis reads, writes and searches entries of many fields far more slowly.
local function push_outbox(kind, answer, c)
  local number = redis.call('HINCRBY', key('m'), 'o', 1)
  -- The number is published with the change, so that whoever watches sees that a message was lost.
  c.out = number
  local dead = kind == 'dead'
  local values = {kind, answer, dead and attempts(c) or '', device(c.cp).ov}
  pack(values, c, dead)
  redis.call('XADD', key('out'), number .. '-0', 'e', cmsgpack.pack(values))
  wants_drain = true
end

-- Changes of commands.

local function lane_of(c)
  return c.pr == '3' and 'lu' or 'ln'
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
  if attempts == 's' then
    set(c, 'wr', NOW)
  elseif to ~= 'D' then
    set(c, 'wr', 0)
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
  push_outbox(is_dead(c) and 'dead' or 'end', '', c)
  if is_dead(c) then list_dead_letter(c) end
end

local function change(c, row, event)
  local over = string.sub(row, 10, 10)
  if over ~= '-' and c.rp ~= '' then remember(c, over) end
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
      push_outbox('late', event.answer, c)
      publish(c)
    end
    return 'ended'
  end
  local bits = 0
  if c.di > 0 or c.ep ~= EPOCH then bits = 1 end
  if c.n < c.ma then bits = bits + 2 end
  if fits(c, event) then bits = bits + 4 end
  local class = c.cl == 'u' and 1 or 0
  local index = (((EVENTS[event.kind] * 3 + status) * 2 + class) * 3 + MARKS[c.mk]) * 8 + bits
  local row = string.sub(ROWS, index * 10 + 1, index * 10 + 10)
  if string.sub(row, 2, 2) ~= '-' then change(c, row, event) end
  return VERDICTS[string.sub(row, 1, 1)]
end
