"""Rows on what is asked and how it is answered: overview, budgets, HTTP, llms, tokens."""

from typing import Final

from tristar.metrics.dashboard.panel import (
    HERE,
    INTERVAL,
    LLM,
    SLO,
    SLO_LLM,
    Panel,
    Query,
    Row,
    quantile,
    rate,
    total,
)

_ERROR_RATIO: Final = (
    f'(sum(rate(ailinux_request_count{{{HERE}, status=~"5.."}}{INTERVAL})) or vector(0))'
    f" / ({total('ailinux_request_count')} > 0)"
)

OVERVIEW: Final = Row(
    "Overview",
    (
        Panel(
            "Requests",
            "HTTP requests that ended, per second.",
            "reqps",
            (Query(total("ailinux_request_count")),),
            "stat",
            width=4,
        ),
        Panel(
            "Error ratio",
            "Requests that ended in a 5xx, of all. HighErrorRate fires above 5 %.",
            "percentunit",
            (Query(_ERROR_RATIO),),
            "stat",
            width=4,
            line=0.05,
        ),
        Panel(
            "LLM P95",
            "Slowest model's P95 of attempts that succeeded or timed out. HighLLMLatency fires above 30 s.",
            "s",
            (Query(f"max({quantile(0.95, 'ailinux_llm_latency_seconds', 'model', LLM)})"),),
            "stat",
            width=4,
            line=30,
        ),
        Panel(
            "Tokens per minute",
            "Input and output tokens of every attempt.",
            "short",
            (Query(f"60 * {total('ailinux_llm_tokens_total', LLM)}"),),
            "stat",
            width=4,
        ),
        Panel(
            "Active connections",
            "HTTP requests in progress; scrapes are left out.",
            "short",
            (Query(f"sum(ailinux_active_connections{{{HERE}}})"),),
            "stat",
            width=4,
        ),
        Panel(
            "Open breakers",
            "Llms that nothing is sent to. CircuitBreakerOpen fires after one minute.",
            "short",
            (Query(f"sum(ailinux_circuit_breaker_state{{{HERE}}} == bool 1)"),),
            "stat",
            width=4,
            line=1,
        ),
    ),
)

_PER_BUDGET: Final = "/ on () group_left () slo:ailinux_request_errors:budget"
_LLM_SLO: Final = "job_model_provider:ailinux_llm_slow_or_failed"

BUDGETS: Final = Row(
    "SLO and error budget (needs prometheus/recording.yml)",
    (
        Panel(
            "Availability burn rate",
            "How many times faster than the objective ([slo] availability) allows requests fail: 1 spends "
            "the budget exactly. AvailabilityBudgetBurnFast fires above 14.4.",
            "none",
            tuple(
                Query(
                    f"job:ailinux_request_errors:ratio_rate{window}{{{SLO}}} {_PER_BUDGET}",
                    f"{{{{job}}}} {window}",
                )
                for window in ("5m", "1h", "6h")
            ),
            line=14.4,
        ),
        Panel(
            "Availability budget left",
            "Part of the error budget that the last three days did not use.",
            "percentunit",
            (Query(f"1 - job:ailinux_request_errors:ratio_rate3d{{{SLO}}} {_PER_BUDGET}", "{{job}}"),),
            line=0,
            bad="below",
        ),
        Panel(
            "Mean request latency",
            "Mean over the endpoints that had traffic.",
            "s",
            (Query(f"job:ailinux_request_latency_seconds:avg_rate5m{{{SLO}}}", "{{job}}"),),
        ),
        Panel(
            "LLM burn rate (1 h)",
            "How many times faster than the model's objective allows attempts fail or take too long. "
            "LLMLatencyBudgetBurnFast fires above 14.4.",
            "none",
            (
                Query(
                    f"{_LLM_SLO}:ratio_rate1h{{{SLO_LLM}}} / {_LLM_SLO}:budget",
                    "{{model}} at {{provider}}",
                ),
            ),
            width=12,
            line=14.4,
        ),
        Panel(
            "LLM budget left",
            "Part of each model's error budget that the last three days did not use.",
            "percentunit",
            (
                Query(
                    f"1 - {_LLM_SLO}:ratio_rate3d{{{SLO_LLM}}} / {_LLM_SLO}:budget",
                    "{{model}} at {{provider}}",
                ),
            ),
            width=12,
            line=0,
            bad="below",
        ),
    ),
)

HTTP: Final = Row(
    "HTTP",
    (
        Panel(
            "Requests by endpoint",
            "Per second.",
            "reqps",
            (Query(rate("ailinux_request_count", "endpoint"), "{{endpoint}}"),),
            stacked=True,
        ),
        Panel(
            "Requests by status",
            "Per second. 499: the client left. 502 and 504: also streams that ended in an error event.",
            "reqps",
            (Query(rate("ailinux_request_count", "status"), "{{status}}"),),
            stacked=True,
        ),
        Panel(
            "Error ratio",
            "Requests that ended in a 5xx, of all. The line is HighErrorRate's.",
            "percentunit",
            (Query(_ERROR_RATIO, "5xx"),),
            line=0.05,
        ),
        Panel(
            "Request latency",
            "From the arrival of a request to its last byte.",
            "s",
            tuple(
                Query(quantile(part, "ailinux_request_latency_seconds"), f"P{part * 100:g}")
                for part in (0.5, 0.95, 0.99)
            ),
        ),
        Panel(
            "Request P95 by endpoint",
            "From the arrival of a request to its last byte.",
            "s",
            (Query(quantile(0.95, "ailinux_request_latency_seconds", "endpoint"), "{{endpoint}}"),),
        ),
        Panel(
            "Gateway overhead",
            "Time of a request that was not spent in an upstream attempt; waits between retries included.",
            "s",
            tuple(
                Query(quantile(part, "ailinux_gateway_overhead_seconds"), f"P{part * 100:g}")
                for part in (0.5, 0.99)
            ),
        ),
        Panel(
            "Active connections",
            "HTTP requests in progress; scrapes are left out.",
            "short",
            (Query(f"sum by (instance) (ailinux_active_connections{{{HERE}}})", "{{instance}}"),),
        ),
        Panel(
            "Refused by a limit",
            "Per second, by whose limit and which.",
            "reqps",
            (
                Query(
                    rate("ailinux_rate_limit_rejections_total", "rejected_by, scope"),
                    "{{rejected_by}}: {{scope}}",
                ),
            ),
        ),
    ),
)

LLMS: Final = Row(
    "LLM",
    (
        Panel(
            "Attempts by status",
            "Upstream attempts per second; a request with a retry has two.",
            "ops",
            (Query(rate("ailinux_llm_calls_total", "status", LLM), "{{status}}"),),
            stacked=True,
        ),
        Panel(
            "Attempts by provider, last hour",
            "Upstream attempts of the last hour.",
            "short",
            (
                Query(
                    f"sum by (provider) (increase(ailinux_llm_calls_total{{{LLM}}}[1h]))",
                    "{{provider}}",
                ),
            ),
        ),
        Panel(
            "Failed attempts by cause",
            "Per second.",
            "ops",
            (Query(rate("ailinux_llm_errors_total", "error_type", LLM), "{{error_type}}"),),
            stacked=True,
        ),
        Panel(
            "LLM P95 by model",
            "Attempts that succeeded or timed out. The line is HighLLMLatency's 30 s.",
            "s",
            (Query(quantile(0.95, "ailinux_llm_latency_seconds", "model", LLM), "{{model}}"),),
            line=30,
        ),
        Panel(
            "Time to first token, P95",
            "Streams: from the start of the attempt to its first token. SlowFirstToken fires above 10 s.",
            "s",
            (Query(quantile(0.95, "ailinux_llm_time_to_first_token_seconds", "model", LLM), "{{model}}"),),
            line=10,
        ),
        Panel(
            "Gap between chunks, P95",
            "Mean gap between two chunks of each completed stream.",
            "s",
            (Query(quantile(0.95, "ailinux_llm_inter_token_seconds", "model", LLM), "{{model}}"),),
        ),
        Panel(
            "Output tokens per second, median",
            "Of successful attempts, over their whole length.",
            "short",
            (Query(quantile(0.5, "ailinux_llm_output_tokens_per_second", "model", LLM), "{{model}}"),),
        ),
        Panel(
            "Attempts in progress",
            "Upstream attempts that have not ended.",
            "short",
            (
                Query(
                    f"sum by (model, provider) (ailinux_llm_in_flight{{{LLM}}})", "{{model}} at {{provider}}"
                ),
            ),
            stacked=True,
        ),
        Panel(
            "LLM latency, distribution",
            "Attempts that succeeded or timed out, by length.",
            "s",
            (
                Query(
                    f"sum by (le) (increase(ailinux_llm_latency_seconds_bucket{{{LLM}}}{INTERVAL}))", "{{le}}"
                ),
            ),
            "heatmap",
        ),
    ),
)

TOKENS: Final = Row(
    "Tokens and cost",
    (
        Panel(
            "Cost per hour by model",
            "US dollars per hour at the present rate, of attempts whose price is known.",
            "currencyUSD",
            (
                Query(
                    f"3600 * {rate('ailinux_llm_cost_usd_total', 'model, provider', LLM)}",
                    "{{model}} at {{provider}}",
                ),
            ),
            stacked=True,
        ),
        Panel(
            "Cost, last 24 hours",
            "US dollars by provider. LLMCostSpike compares an hour with these.",
            "currencyUSD",
            (
                Query(
                    f"sum by (provider) (increase(ailinux_llm_cost_usd_total{{{LLM}}}[24h]))",
                    "{{provider}}",
                ),
            ),
        ),
        Panel(
            "Attempts without a known price",
            "Per second. They cost something that no figure here contains: give the llm a price.",
            "ops",
            (
                Query(
                    rate("ailinux_llm_unpriced_calls_total", "model, provider", LLM),
                    "{{model}} at {{provider}}",
                ),
            ),
        ),
        Panel(
            "Tokens per minute by type",
            "As the provider reported them, else estimated.",
            "short",
            (Query(f"60 * {rate('ailinux_llm_tokens_total', 'type', LLM)}", "{{type}}"),),
            stacked=True,
        ),
        Panel(
            "Tokens per minute by model",
            "Input and output.",
            "short",
            (Query(f"60 * {rate('ailinux_llm_tokens_total', 'model', LLM)}", "{{model}}"),),
            stacked=True,
        ),
        Panel(
            "Cached and reasoning tokens per minute",
            "Parts of the input and output tokens; they are counted there too.",
            "short",
            (Query(f"60 * {rate('ailinux_llm_tokens_detail_total', 'kind', LLM)}", "{{kind}}"),),
        ),
        Panel(
            "Tokens of one attempt, P95",
            "By model and type.",
            "short",
            (
                Query(
                    quantile(0.95, "ailinux_llm_request_tokens", "model, type", f'{HERE}, model=~"$model"'),
                    "{{model}} {{type}}",
                ),
            ),
            width=24,
        ),
    ),
)
