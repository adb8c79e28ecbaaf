-- One operation of the benchmark for wrk: wrk … -s requests.lua URL -- OPERATION EVENTS TOKENS SEED
-- TOKENS is a file with one access token a line, of person 0, 1, 2 …; the world is that of fill.sql.
local operation, events, tokens, people, count, bodies = nil, 0, {}, 0, 0, {}

local function key(kind, n)
  return string.format("01940000-%04x-7000-8000-%012x", kind, n)
end

local function headers(person, json)
  local all = { ["authorization"] = "Bearer " .. tokens[person + 1] }
  if json then all["content-type"] = "application/json" end
  return all
end

local function any_person()
  return math.random(0, #tokens - 1)
end

-- One of the 40 events to which a person is invited.
local function invited(person)
  return (math.floor(person / 2) + math.random(0, 39) * math.floor(people / 2)) % events
end

-- A public event, which everybody sees.
local function public()
  local n = math.random(0, events - 1)
  if n % 4 == 0 then n = n + 1 end
  return n
end

local EVENT = '{"title":"Harbour meeting %d","description":"' .. string.rep("What there is to talk about. ", 7)
  .. '","location":"Pier %d","start":{"date_time":"2027-06-%02dT18:00:00","time_zone":"Europe/Berlin"},'
  .. '"end":{"date_time":"2027-06-%02dT20:00:00","time_zone":"Europe/Berlin"},"capacity":50,"visibility":"public",'
  .. '"tags":["tag%d","harbour"],"metadata":{"room":%d,"catering":true}}'
local STATUSES = { "accepted", "declined", "tentative" }

local OPERATIONS = {
  get = function()
    return wrk.format("GET", "/api/v1/events/" .. key(2, public()), headers(any_person()))
  end,
  page = function()
    return wrk.format("GET", "/api/v1/events/?limit=50", headers(any_person()))
  end,
  window = function()
    -- What lies in a working day: about 50 events of 100,000.
    local from = 1798761600 + math.random(0, 600) * 86400
    local to = os.date("!%Y-%m-%dT%H:00:00Z", from + 8 * 3600)
    return wrk.format("GET", "/api/v1/events/?limit=50&from=" .. os.date("!%Y-%m-%dT%H:00:00Z", from) .. "&to=" .. to, headers(any_person()))
  end,
  search = function()
    return wrk.format("GET", "/api/v1/events/?limit=50&q=topic" .. math.random(100, 999), headers(any_person()))
  end,
  inbox = function()
    return wrk.format("GET", "/api/v1/notifications/?limit=50", headers(any_person()))
  end,
  create = function()
    local day = math.random(1, 30)
    local n = math.random(0, 999999)
    return wrk.format("POST", "/api/v1/events/", headers(any_person(), true), string.format(EVENT, n, n % 7, day, day, n % 50, n % 100))
  end,
  answer = function()
    local person = any_person()
    local path = "/api/v1/events/" .. key(2, invited(person)) .. "/participants/" .. key(1, person) .. "/status"
    count = count + 1
    return wrk.format("PATCH", path, headers(person, true), '{"status":"' .. STATUSES[count % 3 + 1] .. '"}')
  end,
}

function init(args)
  operation, events = OPERATIONS[args[1]], tonumber(args[2])
  people = math.floor(events / 20)
  for line in io.lines(args[3]) do tokens[#tokens + 1] = line end
  math.randomseed(tonumber(args[4]))
  if operation == nil then error("unknown operation " .. tostring(args[1])) end
end

function request()
  return operation()
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format('\n{"requests":%d,"seconds":%f,"p50_us":%d,"p99_us":%d,"max_us":%d,"bytes":%d,"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), latency.max, summary.bytes, e.status,
    e.connect + e.read + e.write + e.timeout))
end
