-- Compares what is derived (timers, queue, lanes, counts, listings) with what it derives from, for one charger;
-- with mend, derives it again. The charger's commands themselves are never changed here.
-- KEYS  1 base of the slot
-- ARGV  charge point, '1' to mend
-- Output  findings, each a kind and a sentence

local cp, mend = arg(1), arg(2) == '1'
local findings = {}

local function found(kind, text)
  findings[#findings + 1] = kind
  findings[#findings + 1] = text
  return mend
end

local d = device(cp)

local function on_its_way(c)
  return c.st == 'S' or c.st == 'D'
end

-- An open command has exactly one timer, waits in the queue if it is pending, and holds its lane if it is on
-- its way; a delivered unsafe one may stand aside.
local function audit_open(c)
  local at = redis.call('ZSCORE', key('due'), c.id)
  if not at or tonumber(at) ~= next_due(c) then
    if found('timer', c.id .. ' is open and its timer is not what it should be') then
      redis.call('ZADD', key('due'), str(next_due(c)), c.id)
    end
  end
  local queued = redis.call('ZSCORE', key('q:' .. cp), c.id)
  if c.st == 'P' and not queued and found('queue', c.id .. ' is pending but not in the queue') then
    redis.call('ZADD', key('q:' .. cp), str(c.sc), c.id)
  elseif c.st ~= 'P' and queued and found('queue', c.id .. ' is on its way but in the queue') then
    redis.call('ZREM', key('q:' .. cp), c.id)
  end
  local lane, aside = lane_of(c), c.st == 'D' and c.cl == 'u'
  if on_its_way(c) and d[lane] == '' and not aside and found('lane', c.id .. ' is on its way without its lane') then
    set(d, lane, c.id)
  end
end

local function audit_ended(c)
  local forget = NOW + (is_dead(c) and DEAD_RETENTION_US or RETENTION_US)
  if redis.call('ZSCORE', key('due'), c.id) and found('timer', c.id .. ' has ended but has a timer') then
    redis.call('ZREM', key('due'), c.id)
  end
  if redis.call('PTTL', key('e:' .. c.id)) == -1 and found('retention', c.id .. ' has ended but would stay for ever') then
    redis.call('PEXPIRE', key('e:' .. c.id), str(math.ceil((forget - NOW) / 1000)))
  end
  if is_dead(c) and not redis.call('ZSCORE', key('dl'), c.id) and found('listing', c.id .. ' is no listed dead letter') then
    redis.call('ZADD', key('dl'), str(forget), c.id)
  end
end

local open = 0
for _, member in ipairs(redis.call('ZRANGEBYLEX', key('all'), '[' .. cp .. '\n', '(' .. cp .. '\v')) do
  local _, id = listed(member)
  local c = command(id)
  if c and OPEN[c.st] then
    open = open + 1
    audit_open(c)
  elseif c then
    audit_ended(c)
  elseif mend then
    -- Its retention ended, and no timer round has come here yet: that is no damage.
    redis.call('ZREM', key('all'), member)
  end
end

for _, id in ipairs(redis.call('ZRANGE', key('q:' .. cp), 0, -1)) do
  if not command(id) and found('queue', id .. ' is queued but not stored') then
    redis.call('ZREM', key('q:' .. cp), id)
  end
end

for _, lane in ipairs({'lu', 'ln'}) do
  local c = d[lane] ~= '' and command(d[lane])
  if d[lane] ~= '' and not (c and on_its_way(c)) and found('lane', d[lane] .. ' holds a lane but is not on its way') then
    set(d, lane, '')
  end
end

if d.op ~= open and found('count', cp .. ' counts ' .. str(d.op) .. ' open commands and has ' .. str(open)) then
  set(d, 'op', open)
end

local listed = redis.call('ZSCORE', key('conn'), cp)
if d.con == '1' and d.exp <= NOW then
  if found('registration', cp .. ' is registered, but its registration has lapsed') then
    tombstone(cp, d.inc, str(d.ver))
  end
elseif d.con == '1' and not listed then
  if found('listing', cp .. ' is connected but not listed') then redis.call('ZADD', key('conn'), str(d.exp), cp) end
elseif d.con ~= '1' and listed then
  if found('listing', cp .. ' is listed as connected but is not') then redis.call('ZREM', key('conn'), cp) end
end

put(#findings / 2)
for i = 1, #findings do put(findings[i]) end
return reply()
