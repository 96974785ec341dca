-- Applies events to commands of the slot, in order, and claims what each made due.
-- KEYS  1 base of the slot
-- ARGV  for each event: command id, kind, dispatch, version, nonce, incarnation, answer and charge
--       point that the sender speaks of ('' for none)
-- Output  for each event: verdict ('' if the command is unknown), status, end of the grant, claims

local first = JITTER
local i, n = 1, 0
while arg(i) do
  -- Commands that are given back together must not all come back together.
  JITTER = (first + n * 40503) % 65536
  local c = command(arg(i))
  local cp = arg(i + 7)
  if c and cp ~= '' and cp ~= c.cp then
    put('stale')
    put(c.st)
    put('0')
    put('0')
  elseif c then
    local event = {kind = arg(i + 1), dispatch = arg(i + 2), version = arg(i + 3), nonce = arg(i + 4),
      incarnation = arg(i + 5), answer = arg(i + 6)}
    local verdict = decide(c, event)
    local claimed = claim_lanes(c.cp, false)
    put(verdict)
    put(c.gone and '' or c.st)
    put(OPEN[c.st] and c.wb or 0)
    put_claimed(claimed)
  else
    put('')
    put('')
    put('0')
    put('0')
  end
  i, n = i + 8, n + 1
end
return reply()
