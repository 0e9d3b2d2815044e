-- campaign_resume: a campaign that was paused goes on.
-- Campaign: see campaign_apply and campaign_pause.
-- Returns 1, or 0 where it was not paused or the request was done before.
--
-- KEYS  events, directory, operations, campaign
-- ARGV  by, request id, campaign id
local function campaign_resume(keys, args)
  local events, directory, operations, campaign = unpack(keys)
  local request, id = args[2], args[3]
  local what = 'resume campaign ' .. id
  local answer = done_before(operations, request, what)
  if answer then
    return answer
  end
  local version, paused = unpack(read('HMGET', campaign, 'version', 'paused') or {})
  if not version then
    return refuse('there is no campaign ' .. id)
  end
  if not paused then
    return remember(operations, request, what)
  end
  if not ledger_ready(events, directory) then
    return refuse('the ledger cannot be written: it is not a stream, or this user may not')
  end
  redis.call('HDEL', campaign, 'paused')
  return operated(keys, args, what, 'campaign:' .. id, 'campaign.resumed', 'campaign', id)
end

redis.register_function('campaign_resume_' .. VERSION, campaign_resume)
