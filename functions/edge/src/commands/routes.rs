//! `dunlin routes`: what the HTTP API answers, from the router's own table.

use dunlin_serving::{Route, admin_routes, routes as public_routes};
use serde::Serialize;

use crate::context::Context;
use crate::exit::Failure;
use crate::output;

#[derive(Serialize)]
struct Listed {
    method: &'static str,
    path: &'static str,
    /// Whether it changes the store.
    admin: bool,
}

pub(crate) fn routes(context: &Context) -> Result<(), Failure> {
    let listed = |route: &Route, admin| Listed {
        method: route.method,
        path: route.path,
        admin,
    };
    let all: Vec<Listed> = public_routes()
        .map(|route| listed(route, false))
        .chain(admin_routes().map(|route| listed(route, true)))
        .collect();
    context.output.answer(&all, || {
        let row = |route: &Listed| vec![route.method.to_owned(), route.path.to_owned()];
        output::table(
            &["METHOD", "PATH"],
            &[],
            &all.iter().map(row).collect::<Vec<_>>(),
        )
    })
}
