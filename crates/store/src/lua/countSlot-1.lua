-- Counts what the slot holds.
-- KEYS  1 base of the slot
-- ARGV  none
-- Output  open commands, all commands, dead letters, connections, outbox entries, notes, timers due

put(redis.call('ZCARD', key('due')))
put(redis.call('ZCARD', key('all')))
put(redis.call('ZCARD', key('dl')))
put(redis.call('ZCARD', key('conn')))
put(redis.call('XLEN', key('out')))
put(redis.call('HLEN', key('notes')))
put(redis.call('ZCOUNT', key('due'), '-inf', str(NOW)))
return reply()
