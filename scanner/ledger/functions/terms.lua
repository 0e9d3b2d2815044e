-- What a claim needs beside its pools where its campaign's plan has it, in this order in the frame:
--   timed     from:6 | until:6                  the rules were judged for the moments in [from, until)
--   limited   counts k:2 | day:4 | day until:6
--   kept      wallet k:2 | expiries k:2
--   shared    share k:2
--   budgeted  budget k:2

local NO_TERMS = {}

-- Returns the terms and where the frame goes on; or nil and the verdict.
local function read_terms(session, frame, next, plan)
  local terms = {}
  if plan.timed then
    local from, until_ms
    from, until_ms, next = struct.unpack('>I6I6', frame, next)
    if session.now < from or session.now >= until_ms then
      return nil, 'T' .. struct.pack('>I6', session.now)
    end
  end
  if plan.limited then
    local k
    k, terms.day, terms.day_until, next = struct.unpack('>I2I4I6', frame, next)
    terms.counts = once(session.counts, session, k, read_counts)
    if not terms.counts then
      return nil, 'Y'
    end
  end
  if plan.kept then
    local k
    k, terms.expiries_k, next = struct.unpack('>I2I2', frame, next)
    terms.wallet = once(session.wallets, session, k, read_wallet)
    if not terms.wallet or not once(session.written, session, terms.expiries_k, read_expiries) then
      return nil, 'Y'
    end
  end
  if plan.shared then
    terms.share_k, next = struct.unpack('>I2', frame, next)
    if not read('HLEN', session.keys[terms.share_k]) then
      return nil, 'Y'
    end
  end
  if plan.budgeted then
    local k
    k, next = struct.unpack('>I2', frame, next)
    local budget = once(session.budgets, session, k, read_budget)
    if not budget or not has_all_budgets(budget, plan) then
      return nil, 'Y'
    end
    terms.budget = budget
  end
  return terms, next
end

local function limit_reached(resets_at)
  return 'L' .. struct.pack('>I6', resets_at)
end
