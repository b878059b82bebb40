/** What one scrape says, boiled down to the numbers that the console follows over time. */

import { buckets, parse, sum } from "./exposition.js";

const NAMES = [
  "ailinux_request_count", "ailinux_request_latency_seconds_bucket", "ailinux_active_connections",
  "ailinux_llm_calls_total", "ailinux_llm_latency_seconds_bucket", "ailinux_llm_tokens_total",
  "ailinux_memory_entries_total", "ailinux_circuit_breaker_state", "ailinux_dependency_up",
  "ailinux_audit_records_total", "ailinux_audit_queue_records", "ailinux_audit_lost_total",
  "ailinux_audit_verify_ok", "process_start_time_seconds",
];
const LLM_ROUTES = /^\/v1\/(chat|messages|responses|embeddings)/;
const UPKEEP = /^\/(health|console)|^\/v1\/models$/; // what this page itself asks for

/** Raised where what answered is no metrics page of a gateway. */
export class NotMetrics extends Error {}

/**
 * One reading: `totals` and `llms` hold counters as they stand, `gauges` and `breakers` what is now.
 * Bucket bounds are null for infinity, so that a reading survives JSON.
 */
export function read(text, at, metricsPath) {
  const samples = parse(text, NAMES);
  const of = (name) => samples.get(name);
  if (of("ailinux_request_count").length === 0 && sum(of("ailinux_active_connections")) === null) throw new NotMetrics();
  const client = ({ endpoint }) => !UPKEEP.test(endpoint) && endpoint !== metricsPath;
  return {
    at,
    startedAt: sum(of("process_start_time_seconds")),
    totals: {
      requests: sum(of("ailinux_request_count"), client) ?? 0,
      errors: sum(of("ailinux_request_count"), (labels) => client(labels) && labels.status.startsWith("5")) ?? 0,
      tokensIn: sum(of("ailinux_llm_tokens_total"), ({ type }) => type === "input") ?? 0,
      tokensOut: sum(of("ailinux_llm_tokens_total"), ({ type }) => type === "output") ?? 0,
      auditRecords: sum(of("ailinux_audit_records_total")) ?? 0,
      latency: storable(buckets(of("ailinux_request_latency_seconds_bucket"), ({ endpoint }) => LLM_ROUTES.test(endpoint))),
    },
    gauges: {
      active: sum(of("ailinux_active_connections")),
      memory: sum(of("ailinux_memory_entries_total")),
      auditQueue: sum(of("ailinux_audit_queue_records")),
      auditLost: sum(of("ailinux_audit_lost_total")),
      auditVerified: sum(of("ailinux_audit_verify_ok")),
    },
    llms: readLlms(of("ailinux_llm_calls_total"), of("ailinux_llm_latency_seconds_bucket")),
    breakers: Object.fromEntries(of("ailinux_circuit_breaker_state").map(({ labels, value }) => [labels.llm_id, value])),
    dependencies: Object.fromEntries(of("ailinux_dependency_up").map(({ labels, value }) => [labels.dependency, value])),
  };
}

/** The key of a (model, provider) pair in `llms`. */
export const pairKey = (model, provider) => JSON.stringify([model, provider]);

function readLlms(calls, latency) {
  const llms = {};
  const entry = ({ model, provider }) => (llms[pairKey(model, provider)] ??= { calls: 0, failed: 0, latency: [] });
  for (const { labels, value } of calls) {
    const llm = entry(labels);
    llm.calls += value;
    if (labels.status !== "success" && labels.status !== "cancelled") llm.failed += value;
  }
  for (const [key, samples] of Map.groupBy(latency, ({ labels }) => pairKey(labels.model, labels.provider))) {
    if (llms[key]) llms[key].latency = storable(buckets(samples));
  }
  return llms;
}

const storable = (pairs) => pairs.map(([bound, count]) => [Number.isFinite(bound) ? bound : null, count]);
