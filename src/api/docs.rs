//! `/docs`: the browsable reference, and a page for each type of problem. Everything it needs is in the binary.

use axum::{
    Router,
    extract::{Path, rejection::PathRejection},
    response::{Html, IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, header};
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{
    Api, openapi_json,
    problem::{Problem, ProblemType, TYPES},
    problem_types::NOT_FOUND,
};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:3rem auto;padding:0 1rem;color:#1b1f24;\
                     background:#fff}code{background:#f0f2f5;padding:.1em .3em;border-radius:3px}a{color:#0b5cad}\
                     dt{font-weight:600;margin-top:1rem}dd{margin:0}\
                     @media(prefers-color-scheme:dark){body{color:#e6e9ec;background:#14171a}code{background:#24292e}a{color:#7db8f5}}";

/// The paths under `/docs`, and the document that they show.
pub(super) fn routes() -> Router<Api> {
    let ui = SwaggerUi::new("/docs").config(Config::from("/openapi.json").try_it_out_enabled(true));
    Router::new()
        .route("/openapi.json", get(document))
        .route("/docs/problems", get(problem_index))
        .route("/docs/problems/", get(problem_index))
        .route("/docs/problems/{code}", get(problem_page))
        .route("/docs/problems/{code}/", get(problem_page))
        .merge(ui)
}

async fn document() -> Response {
    let mut response = openapi_json().into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    response
}

fn page(title: &str, body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} · Convoke</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>{body}</body></html>"
    ))
}

async fn problem_index() -> Html<String> {
    let items = TYPES.iter().map(|one| {
        format!(
            "<dt><a href=\"/docs/problems/{0}\"><code>{0}</code></a> {1}</dt><dd>{2}</dd>",
            one.code, one.status, one.meaning
        )
    });
    page(
        "Problems",
        &format!("<h1>Problems</h1><dl>{}</dl>", items.collect::<String>()),
    )
}

async fn problem_page(code: Result<Path<String>, PathRejection>) -> Response {
    let code = code.map_or_else(|_| String::new(), |Path(code)| code);
    match TYPES.iter().find(|one| one.code == code) {
        Some(one) => describe(one).into_response(),
        None => Problem::new(&NOT_FOUND, "There is no problem of this type.").into_response(),
    }
}

fn describe(one: &ProblemType) -> Html<String> {
    let body = format!(
        "<p><a href=\"/docs/problems/\">Problems</a></p><h1>{}</h1><p><code>{}</code>, status {}</p><p>{}</p>\
         <h2>What to do</h2><p>{}</p>",
        one.title,
        one.code,
        one.status,
        marked(one.meaning),
        marked(one.remedy)
    );
    page(one.title, &body)
}

/// Text with `code` in backticks, as HTML.
fn marked(text: &str) -> String {
    let pieces = text.split('`').enumerate();
    pieces
        .map(|(i, piece)| {
            if i % 2 == 1 {
                format!("<code>{piece}</code>")
            } else {
                piece.to_owned()
            }
        })
        .collect()
}
