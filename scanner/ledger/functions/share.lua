-- A friend opens a shared packet. Share (hash): see scan. The frame is that of a request; the second pool entry, where
-- the pool has one for the giver, is the giver's draw.

local function read_share(key)
  local flat = read('HGETALL', key)
  if not flat then
    return nil
  end
  local share = { records = {}, count = 0 }
  for i = 1, #flat, 2 do
    if flat[i] == 'giver' then
      share.giver = flat[i + 1]
    elseif flat[i] == 'at' then
      share.at = tonumber(flat[i + 1])
    elseif #flat[i + 1] < RECORD_BYTES_MIN then
      return nil
    else
      share.records[flat[i]], share.count = flat[i + 1], share.count + 1
    end
  end
  return share.giver and share.at and share
end

-- Draws for a friend, or the giver, into their winnings.
local function draw_slot(winnings, rule, pool, budget, u, v)
  local prize, amount = draw(rule, pool, budget, u, v)
  if prize then
    win(winnings, rule, prize, amount)
  elseif amount then
    withhold(winnings, rule, amount)
  end
end

local function judge_friend(session, frame)
  local claim = read_other(frame)
  local share = once(session.shares, session, claim.k, read_share)
  if not session.ready or not share then
    return 'Y'
  end
  if share.records[claim.field] then
    return 'R' .. share.records[claim.field]
  end
  local campaign, verdict = in_force(session, claim.campaign_k, claim.version)
  if not campaign then
    return verdict
  end
  local plan = campaign.plan
  local rule = plan.shared
  if not rule then
    return 'Y'
  end
  if session.now >= share.at + rule.open_for then
    return 'O'
  end
  if share.giver == claim.said[MEMBER_SAID] then
    return 'G'
  end
  if share.count >= rule.slots then
    return 'E'
  end
  local terms, next = read_terms(session, frame, claim.next, plan)
  if not terms then
    return next
  end
  local rules, pools, us, vs = read_entered(session, frame, next, claim.count, plan)
  if not rules then
    return 'Y'
  end
  if rule.limited then
    local may, resets_at = may_count(terms, rule.no, rule)
    if not may then
      return limit_reached(resets_at)
    end
    count_once(terms, rule.no, plan)
  end
  local slot = share.count + 1
  local winnings = no_winnings(session.winnings)
  draw_slot(winnings, rule, pools[1], terms.budget, us[3], vs[1])
  local record = head_of(campaign, claim) .. winnings.items
  local entry = entry_of(session, 'share.claimed', campaign, claim.said)
  local n = #entry
  entry[n + 1], entry[n + 2], entry[n + 3], entry[n + 4] = 'giver', share.giver, 'slot', slot
  put_winnings(entry, winnings, '')
  if (rule.giver == 'first' and slot == 1) or (rule.giver == 'last' and slot == rule.slots) then
    local givers = no_winnings({})
    draw_slot(givers, rule, pools[2], terms.budget, us[6], vs[2])
    record = record .. string.char(0, 3) .. givers.items
    givers[1] = givers[1] and string.gsub(givers[1], '"member"}$', '"giver"}')
    put_winnings(entry, givers, 'giver_')
  end
  share.records[claim.field], share.count = record, slot
  accept(session, claim.place, session.keys[claim.k], claim.field, record, entry)
  return 'A' .. record
end
