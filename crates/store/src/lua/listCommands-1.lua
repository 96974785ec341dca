-- Reads commands by charge point and id, looking at no more than a few hundred.
-- KEYS  1 base of the slot
-- ARGV  charge point ('' for all), letters of the statuses ('' for all), member to go on after ('' for the
--       first), most commands
-- Output  commands · member to go on after ('' at the end)

local LOOKED_AT = 300
local cp, statuses, after, most = arg(1), arg(2), arg(3), tonumber(arg(4))
local low = (after ~= '' and '(' .. after) or (cp ~= '' and '[' .. cp .. '\n') or '-'
local high = cp ~= '' and '(' .. cp .. '\v' or '+'
local members = redis.call('ZRANGEBYLEX', key('all'), low, high, 'LIMIT', 0, LOOKED_AT)
local found, count, last = {}, 0, ''
for i, member in ipairs(members) do
  local c = command(string.match(member, '\n(.*)$'))
  if c and (statuses == '' or string.find(statuses, c.st, 1, true)) then
    pack(found, c, true)
    count = count + 1
  end
  last = (i < #members or #members == LOOKED_AT) and member or ''
  if count >= most then break end
end
put(str(count))
for i = 1, #found do put(found[i]) end
put(last)
return reply()
