//! A careful consumer in Rust: aws-sdk-eventbridge, 16 calls at once, ten entries a call, single entries sent again.
//!
//! `consumer_rust URL FILE`: FILE holds one event a line. Prints CPU and wall time an event, what was accepted and what
//! was given up. It decodes no daemon's lines, checks nothing, keeps no watermark, has no dead letters, no masking.

use aws_sdk_eventbridge::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use aws_sdk_eventbridge::Client;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const ENTRIES_A_CALL: usize = 10;
const CALLS_AT_ONCE: usize = 16;
const RETRIES: u32 = 5;
const FIRST_PAUSE_S: f64 = 0.1;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    interaction_id: &'a str,
    conversation_id: &'a str,
    event_type: &'a str,
    timestamp: &'a str,
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    enrichment_pipeline: &'static str,
    compliance_tag: &'static str,
    region: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail<'a> {
    correlation_id: &'static str,
    event_source: &'static str,
    event_type: &'a str,
    original_event_id: &'a str,
    conversation_id: &'a str,
    event_timestamp: &'a str,
    source_system: &'static str,
    routing_version: &'static str,
    payload: &'a RawValue,
    metadata: Metadata,
}

fn transform(text: &str) -> PutEventsRequestEntry {
    let event: Event = serde_json::from_str(text).expect("an event");
    let detail = Detail {
        correlation_id: "6f1c7f0e-7d6b-4d0b-9f6e-1a2b3c4d5e6f",
        event_source: "cxone.webhook",
        event_type: event.event_type,
        original_event_id: event.interaction_id,
        conversation_id: event.conversation_id,
        event_timestamp: event.timestamp,
        source_system: "nice.cxone",
        routing_version: "1.0",
        payload: event.payload,
        metadata: Metadata { enrichment_pipeline: "x", compliance_tag: "unmasked", region: "us-east-1" },
    };
    PutEventsRequestEntry::builder()
        .source("nice.cxone.webhook")
        .detail_type(event.event_type)
        .detail(serde_json::to_string(&detail).expect("JSON"))
        .event_bus_name("default")
        .build()
}

type Sent = (PutEventsRequestEntry, u32);

/// What is to be sent again, and what is given up. A call that fails whole (after the SDK's own tries) fails all of it.
async fn call(client: Client, entries: Vec<Sent>) -> (usize, Vec<Sent>, usize) {
    let made = entries.iter().map(|(entry, _)| entry.clone()).collect();
    let (mut accepted, mut again, mut given_up) = (0, Vec::new(), 0);
    match client.put_events().set_entries(Some(made)).send().await {
        Err(_) => again = entries,
        Ok(answer) => {
            for ((entry, failures), result) in entries.into_iter().zip(answer.entries()) {
                if result.error_code().is_none() {
                    accepted += 1;
                } else if failures >= RETRIES {
                    given_up += 1;
                } else {
                    again.push((entry, failures + 1));
                }
            }
        }
    }
    (accepted, again, given_up)
}

fn cpu_s() -> f64 {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::uninit();
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let text = std::fs::read_to_string(&arguments[2]).expect("the events");
    let lines: Vec<&str> = text.lines().collect();
    let settings = aws_sdk_eventbridge::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "secret", None, None, "peer"))
        .endpoint_url(&arguments[1])
        .build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = Client::from_conf(settings);
        let warm = lines[..ENTRIES_A_CALL].iter().map(|line| (transform(line), 0)).collect();
        call(client.clone(), warm).await;
        let (cpu, wall) = (cpu_s(), Instant::now());
        let (mut next, mut accepted, mut given_up) = (0, 0, 0);
        let mut later: Vec<(Instant, Sent)> = Vec::new();
        let mut ready: VecDeque<Sent> = VecDeque::new();
        let mut calls = JoinSet::new();
        loop {
            let now = Instant::now();
            let mut at = 0;
            while at < later.len() {
                if later[at].0 <= now { ready.push_back(later.swap_remove(at).1) } else { at += 1 }
            }
            while calls.len() < CALLS_AT_ONCE {
                while ready.len() < ENTRIES_A_CALL && next < lines.len() {
                    ready.push_back((transform(lines[next]), 0));
                    next += 1;
                }
                if ready.is_empty() { break }
                let entries = ready.drain(..ready.len().min(ENTRIES_A_CALL)).collect();
                calls.spawn(call(client.clone(), entries));
            }
            if calls.is_empty() {
                if later.is_empty() { break }
                tokio::time::sleep(Duration::from_millis(2)).await;
                continue;
            }
            let pause = tokio::time::sleep(Duration::from_millis(10));
            tokio::select! {
                Some(done) = calls.join_next() => {
                    let (taken, again, lost) = done.expect("a call");
                    accepted += taken;
                    given_up += lost;
                    for (entry, failures) in again {
                        let pause_s = rand::random::<f64>() * FIRST_PAUSE_S * 2f64.powi(failures as i32);
                        later.push((Instant::now() + Duration::from_secs_f64(pause_s), (entry, failures)));
                    }
                }
                _ = pause, if !later.is_empty() => {}
            }
        }
        let count = lines.len() as f64;
        println!(
            "{{\"cpuUs\": {:.4}, \"wallUs\": {:.4}, \"accepted\": {accepted}, \"givenUp\": {given_up}}}",
            (cpu_s() - cpu) / count * 1e6,
            wall.elapsed().as_secs_f64() / count * 1e6,
        );
    });
}
