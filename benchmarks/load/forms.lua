-- Counts 1 in stat after stat by a form, as StatHat's clients do. KEY, STATS; DELAY in ms between requests.
local stats, bodies = tonumber(os.getenv("STATS")), {}
function init()
  for i = 0, stats - 1 do
    local body = "ezkey=" .. os.getenv("KEY") .. "&stat=requests." .. i .. "&count=1"
    bodies[i] = wrk.format("POST", nil, { ["Content-Type"] = "application/x-www-form-urlencoded" }, body)
  end
end
local i = 0
request = function()
  i = (i + 1) % stats
  return bodies[i]
end
if os.getenv("DELAY") then
  delay = function() return tonumber(os.getenv("DELAY")) end
end
