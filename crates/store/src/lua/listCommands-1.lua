-- Reads commands by charge point and id, looking at no more than a few hundred.
-- KEYS  1 base of the slot
-- ARGV  charge point ('' for all), letters of the statuses ('' for all), created at or after and before ('' for
--       any), charge point and id to go on after ('' for the first), most commands
-- Output  commands · '<charge point>:<id>' to go on after ('' at the end)

local LOOKED_AT = 300
local only, statuses, created_after, created_before = arg(1), arg(2), tonumber(arg(3)), tonumber(arg(4))
local at, after, most = arg(5), arg(6), tonumber(arg(7))

local function matches(c)
  return (statuses == '' or string.find(statuses, c.st, 1, true))
    and (not created_after or tonumber(c.cr) >= created_after)
    and (not created_before or tonumber(c.cr) < created_before)
end

local low = at ~= '' and after_listed(at, after) or after_listed(only, '')
local high = only ~= '' and '(' .. only .. '\v' or '+'
local members = redis.call('ZRANGEBYLEX', key('all'), low, high, 'LIMIT', 0, LOOKED_AT)
local found, count, last = {}, 0, ''
for i, member in ipairs(members) do
  local cp, id = listed(member)
  local c = command(id)
  if c and matches(c) then
    pack(found, c, true)
    count = count + 1
  end
  last = (i < #members or #members == LOOKED_AT) and cp .. ':' .. id or ''
  if count >= most then break end
end
put(count)
for i = 1, #found do put(found[i]) end
put(last)
return reply()
