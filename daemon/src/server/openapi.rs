//! `GET /v1/openapi.json`: the description of the control socket, made from the types that it speaks.
//!
//! Owns:  the table of calls with what each takes and answers.
//! Never: describes a field: the types do.

use axum::response::Response;
use http::Uri;
use outbox_control::types as api;
use utoipa::ToSchema;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{
    Components, ComponentsBuilder, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Required, ResponseBuilder, Schema,
};

use super::messages::json_bytes;
use super::problem::{Answer, bad_request};
use super::query::Query;

/// What a call takes and answers: the name of a type, or what has none.
#[derive(Clone, Copy)]
enum Content {
    /// A JSON object of this type.
    Json(&'static str),
    /// One object of this type a line.
    Lines(&'static str),
    /// Any JSON value, as it was submitted.
    Value,
    /// Server-sent events whose data have this type.
    Events(&'static str),
    /// Text of this media type.
    Text(&'static str),
}

/// A call.
struct Call {
    method: HttpMethod,
    path: &'static str,
    about: &'static str,
    query: &'static [(&'static str, &'static str)],
    takes: &'static [Content],
    answers: &'static [(u16, Content)],
}

use Content::{Events, Json, Lines, Text, Value};
use HttpMethod::{Delete, Get, Post, Put};

const fn call(
    method: HttpMethod,
    path: &'static str,
    about: &'static str,
    takes: &'static [Content],
    answers: &'static [(u16, Content)],
) -> Call {
    Call { method, path, about, query: &[], takes, answers }
}

impl Call {
    const fn with_query(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }
}

const STATE: (&str, &str) = ("state", "Only this state; repeatable.");
const CONVERSATION: (&str, &str) = ("conversation", "Only this conversation.");
const ACCOUNT: (&str, &str) = ("account", "Only this account.");
const LIMIT: (&str, &str) = ("limit", "At most this many: 1 to 1000, 100 if absent.");
const CURSOR: (&str, &str) = ("cursor", "`next` of the page before.");
const SINCE: (&str, &str) = ("since", "Only what has a greater number.");
const NEW_MSG_ID: (&str, &str) = ("newMsgID", "Only the receipts that this new message replaced.");
const FOLLOW: (&str, &str) = ("follow", "`false` ends after what is kept.");
const WAIT: (&str, &str) = ("wait", "How long to wait for the attempt's end: 1s to 5m.");
const REASON: (&str, &str) = ("reason", "Words for the record.");

static CALLS: &[Call] = &[
    call(
        Post,
        "/v1/messages",
        "Hands a message over, or one a line; answers once it is on disk.",
        &[Json("Submit"), Lines("Submit")],
        &[(201, Json("Submitted")), (200, Json("Submitted")), (200, Lines("SubmitAnswer"))],
    ),
    call(
        Get,
        "/v1/messages",
        "Lists entries in the order of acceptance.",
        &[],
        &[(200, Json("MessagePage"))],
    )
    .with_query(&[STATE, CONVERSATION, ACCOUNT, LIMIT, CURSOR]),
    call(Get, "/v1/messages/{id}", "Shows a message.", &[], &[(200, Json("Entry"))]),
    call(
        Delete,
        "/v1/messages/{id}",
        "Cancels a message, and says how far that was still possible.",
        &[Json("ReasonBody")],
        &[(200, Json("CancelAnswer"))],
    )
    .with_query(&[REASON]),
    call(Get, "/v1/messages/{id}/payload", "The message exactly as it was submitted.", &[], &[(200, Value)]),
    call(Get, "/v1/messages/{id}/why", "Says why a message is where it is.", &[], &[(200, Json("Why"))]),
    call(
        Post,
        "/v1/messages/{id}/resend",
        "Makes a message due now; with `wait`, answers at the attempt's end.",
        &[Json("ResendRequest")],
        &[(202, Json("Entry")), (200, Json("Callback"))],
    )
    .with_query(&[WAIT]),
    call(
        Post,
        "/v1/messages/{id}/resolve",
        "Closes an uncertain message as sent, because a person saw it arrive.",
        &[Json("ResolveRequest")],
        &[(200, Json("Entry"))],
    ),
    call(
        Post,
        "/v1/messages/{id}/hold",
        "Keeps a message back.",
        &[Json("ReasonBody")],
        &[(200, Json("Entry"))],
    ),
    call(
        Post,
        "/v1/messages/{id}/release",
        "Lets a held message go.",
        &[Json("ReasonBody")],
        &[(200, Json("Entry"))],
    ),
    call(
        Post,
        "/v1/messages:batch",
        "Does the same to all messages that match.",
        &[Json("BatchRequest")],
        &[(200, Json("BatchAnswer"))],
    ),
    call(Get, "/v1/sent", "Lists receipts of sent messages, oldest first.", &[], &[(200, Json("SentPage"))])
        .with_query(&[SINCE, LIMIT, NEW_MSG_ID]),
    call(Get, "/v1/sent/{id}", "Shows a receipt by its original.", &[], &[(200, Json("Receipt"))]),
    call(
        Get,
        "/v1/events",
        "Tells what happened after a number, and what happens.",
        &[],
        &[(200, Events("EventData"))],
    )
    .with_query(&[SINCE, FOLLOW]),
    call(Get, "/v1/status", "Shows the daemon as a whole.", &[], &[(200, Json("Status"))]),
    call(
        Post,
        "/v1/flush",
        "Makes everything deferred due now.",
        &[Json("FlushRequest")],
        &[(200, Json("FlushAnswer"))],
    ),
    call(
        Post,
        "/v1/compact",
        "Rewrites the store and gives space back; answers at its end.",
        &[],
        &[(200, Json("CompactAnswer"))],
    ),
    call(Post, "/v1/pause", "Makes no new attempts.", &[], &[(200, Json("Paused"))]),
    call(Post, "/v1/resume", "Ends the pause.", &[], &[(200, Json("Paused"))]),
    call(Get, "/v1/accounts", "Lists accounts, those not open first.", &[], &[(200, Json("Accounts"))]),
    call(
        Post,
        "/v1/accounts/{account}/pause",
        "Stops attempts of an account.",
        &[Json("ReasonBody")],
        &[(200, Json("Account"))],
    ),
    call(
        Post,
        "/v1/accounts/{account}/resume",
        "Says that an account's session is fine.",
        &[Json("ReasonBody")],
        &[(200, Json("Account"))],
    ),
    call(
        Post,
        "/v1/reload",
        "Reads the configuration again, all of it or nothing.",
        &[],
        &[(200, Json("ReloadAnswer"))],
    ),
    call(
        Put,
        "/v1/connectivity",
        "Takes the app's word about the network.",
        &[Json("ConnectivityRequest")],
        &[(200, Json("Connectivity"))],
    ),
    call(
        Post,
        "/v1/leases",
        "Gives an app messages to send.",
        &[Json("LeaseRequest")],
        &[(200, Json("LeasePage"))],
    ),
    call(
        Post,
        "/v1/leases/{lease}/settle",
        "Takes the outcome of a leased attempt.",
        &[Json("Settle")],
        &[(200, Json("SettleAnswer"))],
    ),
    call(
        Post,
        "/v1/leases/{lease}/extend",
        "Makes a lease last longer.",
        &[Json("ExtendRequest")],
        &[(200, Json("ExtendAnswer"))],
    ),
    call(
        Get,
        "/v1/health/live",
        "Whether the engine makes progress.",
        &[],
        &[(200, Json("Live")), (503, Json("Live"))],
    ),
    call(
        Get,
        "/v1/health/ready",
        "Whether messages are accepted.",
        &[],
        &[(200, Json("Ready")), (503, Json("Ready"))],
    ),
    call(Get, "/metrics", "Metrics for Prometheus.", &[], &[(200, Text("text/plain"))]),
    call(Get, "/v1/openapi.json", "This description.", &[], &[(200, Value)]),
];

/// `GET /v1/openapi.json`.
pub(super) async fn openapi(uri: Uri) -> Answer<Response> {
    Query::read(uri.query(), &[])?;
    let text = text().map_err(|error| bad_request(format!("the description cannot be written: {error}")))?;
    Ok(json_bytes(http::StatusCode::OK, text.into_bytes()))
}

/// The description as JSON. Links of the types' own documentation lead nowhere here and are shown as code.
fn text() -> serde_json::Result<String> {
    let document = serde_json::to_value(document())?;
    let text = serde_json::to_string_pretty(&document)? + "\n";
    Ok(text.replace("[`", "`").replace("`]", "`"))
}

fn document() -> OpenApi {
    let mut paths = PathsBuilder::new();
    for call in CALLS {
        let name = call.path.trim_start_matches("/v1/").replace(['/', ':', '{', '}', '.'], " ");
        let words: Vec<&str> = name.split_whitespace().collect();
        let mut operation = OperationBuilder::new()
            .operation_id(Some(format!("{}-{}", method_word(&call.method), words.join("-"))))
            .summary(Some(call.about))
            .parameters(Some(parameters(call)));
        if !call.takes.is_empty() {
            let body = call.takes.iter().fold(RequestBodyBuilder::new(), |body, takes| {
                let (media_type, content) = content(*takes);
                body.content(media_type, content)
            });
            operation = operation.request_body(Some(body.build()));
        }
        for (status, response) in responses(call) {
            operation = operation.response(status, response);
        }
        paths = paths.path(call.path, PathItem::new(call.method.clone(), operation));
    }
    let info = InfoBuilder::new()
        .title("Outbox control socket")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some("HTTP/1.1 with JSON over a Unix stream socket. Every error is a Problem."));
    OpenApiBuilder::new().info(info.build()).paths(paths).components(Some(components())).build()
}

const fn method_word(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Post => "post",
        HttpMethod::Put => "put",
        HttpMethod::Delete => "delete",
        _ => "get",
    }
}

fn parameters(call: &Call) -> Vec<Parameter> {
    let parameter = |name: &str, place, required, about: &str| {
        let text = ObjectBuilder::new().schema_type(Type::String).build();
        ParameterBuilder::new()
            .name(name)
            .parameter_in(place)
            .required(required)
            .description(Some(about))
            .schema(Some(text))
            .build()
    };
    let in_path = call.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = in_path
        .map(|name| parameter(name, ParameterIn::Path, Required::True, "Percent-encoded; `/` is %2F."));
    let in_query =
        call.query.iter().map(|(name, about)| parameter(name, ParameterIn::Query, Required::False, about));
    in_path.chain(in_query).collect()
}

/// One response for each status; those with the same status are two forms of one.
fn responses(call: &Call) -> Vec<(String, utoipa::openapi::Response)> {
    let mut statuses: Vec<u16> = call.answers.iter().map(|(status, _)| *status).collect();
    statuses.dedup();
    let mut responses = Vec::new();
    for status in statuses {
        let forms = call.answers.iter().filter(|(of, _)| *of == status);
        let about = match status {
            201 => "It is on disk.",
            202 => "It is due, or still under way.",
            503 => "It is not so.",
            _ => "The answer.",
        };
        let response = forms.fold(ResponseBuilder::new().description(about), |response, (_, form)| {
            let (media_type, content) = content(*form);
            response.content(media_type, content)
        });
        responses.push((status.to_string(), response.build()));
    }
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let problem =
        ResponseBuilder::new().description("Every error.").content(api::PROBLEM_MEDIA_TYPE, problem).build();
    responses.push(("default".to_owned(), problem));
    responses
}

fn content(content: Content) -> (&'static str, utoipa::openapi::Content) {
    let of = |name| ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build();
    match content {
        Json(name) => ("application/json", of(name)),
        Lines(name) => ("application/x-ndjson", of(name)),
        Events(name) => ("text/event-stream", of(name)),
        Value => ("application/json", ContentBuilder::new().build()),
        Text(media_type) => (media_type, ContentBuilder::new().build()),
    }
}

/// The answer of `GET /v1/accounts`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Accounts {
    /// At most 100.
    accounts: Vec<api::Account>,
}

fn components() -> Components {
    let mut schemas = Vec::new();
    add::<api::Submit>(&mut schemas);
    add::<api::Submitted>(&mut schemas);
    add::<api::SubmitAnswer>(&mut schemas);
    add::<api::MessagePage>(&mut schemas);
    add::<api::Why>(&mut schemas);
    add::<api::ReasonBody>(&mut schemas);
    add::<api::CancelAnswer>(&mut schemas);
    add::<api::ResendRequest>(&mut schemas);
    add::<api::Callback>(&mut schemas);
    add::<api::ResolveRequest>(&mut schemas);
    add::<api::BatchRequest>(&mut schemas);
    add::<api::BatchAnswer>(&mut schemas);
    add::<api::SentPage>(&mut schemas);
    add::<api::EventData>(&mut schemas);
    add::<api::EventGap>(&mut schemas);
    add::<api::Status>(&mut schemas);
    add::<api::FlushRequest>(&mut schemas);
    add::<api::FlushAnswer>(&mut schemas);
    add::<api::CompactAnswer>(&mut schemas);
    add::<api::Paused>(&mut schemas);
    add::<Accounts>(&mut schemas);
    add::<api::ReloadAnswer>(&mut schemas);
    add::<api::ConnectivityRequest>(&mut schemas);
    add::<api::Connectivity>(&mut schemas);
    add::<api::LeaseRequest>(&mut schemas);
    add::<api::LeasePage>(&mut schemas);
    add::<api::Settle>(&mut schemas);
    add::<api::SettleAnswer>(&mut schemas);
    add::<api::ExtendRequest>(&mut schemas);
    add::<api::ExtendAnswer>(&mut schemas);
    add::<api::Live>(&mut schemas);
    add::<api::Ready>(&mut schemas);
    add::<api::Problem>(&mut schemas);
    ComponentsBuilder::new().schemas_from_iter(schemas).build()
}

/// Adds a type and all that it is made of.
fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn the_description_is_the_one_in_the_documents() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
        let made = text().unwrap();
        if std::env::var_os("OUTBOX_WRITE_OPENAPI").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let kept = std::fs::read_to_string(&path).unwrap();
        assert_eq!(kept, made, "make it anew: OUTBOX_WRITE_OPENAPI=1 cargo test -p outboxd --lib openapi");
    }

    #[test]
    fn every_type_that_is_named_is_described() {
        let document: serde_json::Value = serde_json::from_str(&text().unwrap()).unwrap();
        let known = document["components"]["schemas"].as_object().unwrap();
        let written = document.to_string();
        let named: BTreeSet<&str> = written
            .split("#/components/schemas/")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert!(named.len() > 40, "{named:?}");
        for name in named {
            assert!(known.contains_key(name), "{name}");
        }
    }

    #[test]
    fn every_call_of_the_table_of_routes_is_described_and_no_other() {
        let routes = include_str!("mod.rs");
        let mut served = BTreeSet::new();
        for line in routes.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
            let (path, methods) = line.split_once('"').unwrap();
            for method in ["get", "post", "put", "delete"] {
                if methods.contains(&format!("{method}(")) {
                    served.insert(format!("{method} {path}"));
                }
            }
        }
        let described: BTreeSet<String> =
            CALLS.iter().map(|call| format!("{} {}", method_word(&call.method), call.path)).collect();
        assert_eq!(described, served);
    }
}
