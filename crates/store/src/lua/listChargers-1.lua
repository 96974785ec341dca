-- Lists the chargers of a slot that have open or retained commands, by name.
-- KEYS  1 base of the slot
-- ARGV  the last charger of the page before or '', how many
-- Output  chargers with commands, in order

local after, limit = arg(1), tonumber(arg(2))
local chargers = {}
while #chargers < limit do
  local from = after == '' and '-' or '(' .. after .. '\n\255'
  local member = redis.call('ZRANGEBYLEX', key('all'), from, '+', 'LIMIT', 0, 1)[1]
  if not member then break end
  after = listed(member)
  chargers[#chargers + 1] = after
end
put(#chargers)
for _, cp in ipairs(chargers) do put(cp) end
return reply()
