-- A friend opens a shared packet. Share (hash): see scan. The frame is that of a request; the second draw, where the
-- pool has one for the giver, is the giver's.

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

-- The friend's draw, and the giver's where this slot has one. Returns the record's items, and adds to the entry.
local function draw_slot(entry, frames, next, common, slot)
  local rule, pools, budget, u, v = common.plan.shared, common.pools, common.budget, nil, nil
  u, v, next = read_draw(common.rules[1], frames, next)
  local items, extras = draw_once(rule, pools[1], budget, u, v)
  put_winnings(entry, told_of(common.plan, items), extras, '')
  if (rule.giver == 'first' and slot == 1) or (rule.giver == 'last' and slot == rule.slots) then
    u, v = read_draw(common.rules[2], frames, next)
    local givers, givers_extras = draw_once(rule, pools[2], budget, u, v)
    local told = told_of(common.plan, givers)
    put_winnings(entry, { awards = string.gsub(told.awards, '"member"}%]$', '"giver"}]'), blanks = told.blanks },
      givers_extras, 'giver_')
    items = items .. string.char(0, 3) .. givers
  end
  return items
end

local function judge_friend(session, frames, at, common)
  local claim = read_other(frames, at)
  local share = once(session.shares, session, claim.k, read_share)
  if not session.ready or not share then
    return 'Y'
  end
  if share.records[claim.field] then
    return 'R' .. share.records[claim.field]
  end
  if common.verdict then
    return common.verdict
  end
  local plan = common.plan
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
  local terms, next = read_terms(session, frames, claim.next, plan)
  if not terms then
    return next
  end
  if not common.ready or not common.rules then
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
  local entry = entry_of(session, 'share.claimed', common.campaign, claim.said)
  local n = #entry
  entry[n + 1], entry[n + 2], entry[n + 3], entry[n + 4] = 'giver', share.giver, 'slot', slot
  local record = head_of(common.campaign, claim) .. draw_slot(entry, frames, next, common, slot)
  share.records[claim.field], share.count = record, slot
  accept(session, claim.place, session.keys[claim.k], claim.field, record, entry)
  return 'A' .. record
end
