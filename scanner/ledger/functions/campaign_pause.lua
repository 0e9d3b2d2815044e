-- campaign_pause: nothing can be won in the campaign until campaign_resume. Its codes stay free.
-- Campaign: see campaign_apply, and
--   paused   1 while it is paused, absent otherwise; applying a file leaves it as it is
-- Returns 1, or 0 where it was paused already or the request was done before.
--
-- KEYS  events, directory, operations, campaign
-- ARGV  by, request id, campaign id
local function campaign_pause(keys, args)
  local events, directory, operations, campaign = unpack(keys)
  local request, id = args[2], args[3]
  local what = 'pause campaign ' .. id
  local answer = done_before(operations, request, what)
  if answer then
    return answer
  end
  local version, paused = unpack(read('HMGET', campaign, 'version', 'paused') or {})
  if not version then
    return refuse('there is no campaign ' .. id)
  end
  if paused then
    return remember(operations, request, what)
  end
  if not ledger_ready(events, directory) then
    return refuse('the ledger cannot be written: it is not a stream, or this user may not')
  end
  redis.call('HSET', campaign, 'paused', 1)
  return operated(keys, args, what, 'campaign:' .. id, 'campaign.paused', 'campaign', id)
end

redis.register_function('campaign_pause_' .. VERSION, campaign_pause)
