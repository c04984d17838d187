//! What holds of a registry over any store: one suite, run against each of them.

mod aliases;
mod collect;
mod foreign;
mod hints;
mod once;
mod publishing;
mod releases;
mod trials;

use std::sync::Arc;

use bytes::Bytes;
use dunlin_registry::{
    Alias, Draft, ErrorKind, Manifest, ModelName, ModelRef, Registry, Role, Version,
};
use dunlin_storage::{ObjectKey, Store};

/// Runs the whole suite. The store must be empty.
pub async fn run(store: Arc<dyn Store>) {
    let registry = Registry::new(store);
    publishing::nothing_there(&registry).await;
    publishing::published_is_read(&registry).await;
    publishing::equal_bytes_are_stored_once(&registry).await;
    publishing::sixty_four_publishers(&registry).await;
    publishing::publishers_that_die(&registry).await;
    publishing::numbers_are_never_reused(&registry).await;
    aliases::aliases_move(&registry).await;
    aliases::aliases_move_at_once(&registry).await;
    aliases::deletion_cleans_aliases(&registry).await;
    aliases::unknown_names_are_explained(&registry).await;
    once::many_at_once_make_one_version(&registry).await;
    once::the_next_ends_what_a_dead_one_began(&registry).await;
    releases::promoted_and_rolled_back(&registry).await;
    releases::a_canary_grows_and_goes(&registry).await;
    releases::what_is_refused(&registry).await;
    releases::releases_race_with_readers(&registry).await;
    trials::a_guarded_canary_goes_on_and_back(&registry).await;
    trials::plans_that_are_refused(&registry).await;
    trials::a_shadow_comes_and_goes(&registry).await;
    hints::every_move_hints_at_its_targets(&registry).await;
    hints::an_alias_is_read_whatever_its_hints_are(&registry).await;
    hints::an_alias_moves_also_where_hints_have_no_room(&registry).await;
    collect::files_that_no_version_names_go(&registry).await;
    collect::old_versions_go_but_for_those_of_aliases(&registry).await;
    collect::collections_race_with_publishers(&registry).await;
    foreign::later_documents(&registry).await;
    foreign::documents_that_lie(&registry).await;
    foreign::damaged_blobs(&registry).await;
}

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn version(number: u64) -> Version {
    Version::new(number).unwrap()
}

fn alias(text: &str) -> Alias {
    text.parse().unwrap()
}

fn key(text: &str) -> ObjectKey {
    ObjectKey::new(text).unwrap()
}

/// A model whose file is `content`, with the same labels and examples as all others.
fn draft(model: &str, content: &str) -> Draft {
    let mut draft = Draft::new(name(model));
    draft.attach(Role::Model, "onnx", Bytes::from(content.to_owned()));
    draft.attach(Role::Labels, "text", Bytes::from_static(b"no\nyes\n"));
    draft.attach(
        Role::Examples,
        "examples-1",
        Bytes::from_static(b"of no use here"),
    );
    draft
}

async fn publish(registry: &Registry, model: &str, content: &str) -> Manifest {
    registry.publish(draft(model, content)).await.unwrap()
}

async fn resolve(registry: &Registry, reference: &str) -> Result<u64, ErrorKind> {
    let reference: ModelRef = reference.parse().unwrap();
    let resolved = registry.resolve(&reference, 0).await;
    resolved
        .map(|resolved| resolved.version.get())
        .map_err(|error| error.kind())
}

/// Reads every version of a model and all its blobs, as a host would.
async fn read_all(registry: &Registry, model: &ModelName) -> Vec<Version> {
    let versions = registry.versions(model).await.unwrap();
    for version in &versions {
        let manifest = registry.manifest(model, *version).await.unwrap();
        for artifact in &manifest.artifacts {
            registry.blob(artifact, None).await.unwrap();
        }
    }
    versions
}
