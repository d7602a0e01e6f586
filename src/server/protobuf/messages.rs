//! The messages that are understood: field numbers and types.
//!
//! From the `generated.proto` files of `k8s.io/api` and `k8s.io/apimachinery` v0.36.4. A field is
//! kept even if zero where the `types.go` beside them have a pointer or no `omitempty`.

use super::Type::{Bool, Bytes, Integer, Json, Map, Message, MicroTime, String, Strings, Time};
use super::{Field, field};

/// Each kind by apiVersion and name.
pub(super) const KINDS: &[(&str, &str, &[Field])] = &[
    ("authentication.k8s.io/v1", "SelfSubjectReview", SELF_SUBJECT_REVIEW),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview", SELF_SUBJECT_ACCESS_REVIEW),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview", SELF_SUBJECT_RULES_REVIEW),
    ("authorization.k8s.io/v1", "SubjectAccessReview", SUBJECT_ACCESS_REVIEW),
    ("certificates.k8s.io/v1", "CertificateSigningRequest", SIGNING_REQUEST),
    ("coordination.k8s.io/v1", "Lease", LEASE),
    ("events.k8s.io/v1", "Event", NEW_EVENT),
    ("v1", "ConfigMap", CONFIG_MAP),
    ("v1", "Event", EVENT),
    ("v1", "Namespace", NAMESPACE),
    ("v1", "Secret", SECRET),
];

/// `OwnerReference`
const OWNER_REFERENCE: &[Field] = &[
    field(1, "kind", String).kept(),
    field(3, "name", String).kept(),
    field(4, "uid", String).kept(),
    field(5, "apiVersion", String).kept(),
    field(6, "controller", Bool).kept(),
    field(7, "blockOwnerDeletion", Bool).kept(),
];

/// `ManagedFieldsEntry`
const MANAGED_FIELDS_ENTRY: &[Field] = &[
    field(1, "manager", String),
    field(2, "operation", String),
    field(3, "apiVersion", String),
    field(4, "time", Time),
    field(6, "fieldsType", String),
    field(7, "fieldsV1", Json),
    field(8, "subresource", String),
];

/// `ObjectMeta`
const OBJECT_META: &[Field] = &[
    field(1, "name", String),
    field(2, "generateName", String),
    field(3, "namespace", String),
    field(4, "selfLink", String),
    field(5, "uid", String),
    field(6, "resourceVersion", String),
    field(7, "generation", Integer),
    field(8, "creationTimestamp", Time),
    field(9, "deletionTimestamp", Time),
    field(10, "deletionGracePeriodSeconds", Integer).kept(),
    field(11, "labels", Map(&String)),
    field(12, "annotations", Map(&String)),
    field(13, "ownerReferences", Message(OWNER_REFERENCE)).list(),
    field(14, "finalizers", String).list(),
    field(17, "managedFields", Message(MANAGED_FIELDS_ENTRY)).list(),
];

/// `UserInfo`
const USER_INFO: &[Field] = &[
    field(1, "username", String),
    field(2, "uid", String),
    field(3, "groups", String).list(),
    field(4, "extra", Map(&Strings)),
];

/// `SelfSubjectReviewStatus`
const SELF_SUBJECT_REVIEW_STATUS: &[Field] = &[field(1, "userInfo", Message(USER_INFO))];

/// `SelfSubjectReview`
const SELF_SUBJECT_REVIEW: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "status", Message(SELF_SUBJECT_REVIEW_STATUS)),
];

/// `FieldSelectorRequirement`
const FIELD_SELECTOR_REQUIREMENT: &[Field] = &[
    field(1, "key", String).kept(),
    field(2, "operator", String).kept(),
    field(3, "values", String).list(),
];

/// `FieldSelectorAttributes`
const FIELD_SELECTOR_ATTRIBUTES: &[Field] = &[
    field(1, "rawSelector", String),
    field(2, "requirements", Message(FIELD_SELECTOR_REQUIREMENT)).list(),
];

/// `LabelSelectorRequirement`
const LABEL_SELECTOR_REQUIREMENT: &[Field] = &[
    field(1, "key", String).kept(),
    field(2, "operator", String).kept(),
    field(3, "values", String).list(),
];

/// `LabelSelectorAttributes`
const LABEL_SELECTOR_ATTRIBUTES: &[Field] = &[
    field(1, "rawSelector", String),
    field(2, "requirements", Message(LABEL_SELECTOR_REQUIREMENT)).list(),
];

/// `ResourceAttributes`
const RESOURCE_ATTRIBUTES: &[Field] = &[
    field(1, "namespace", String),
    field(2, "verb", String),
    field(3, "group", String),
    field(4, "version", String),
    field(5, "resource", String),
    field(6, "subresource", String),
    field(7, "name", String),
    field(8, "fieldSelector", Message(FIELD_SELECTOR_ATTRIBUTES)),
    field(9, "labelSelector", Message(LABEL_SELECTOR_ATTRIBUTES)),
];

/// `NonResourceAttributes`
const NON_RESOURCE_ATTRIBUTES: &[Field] = &[field(1, "path", String), field(2, "verb", String)];

/// `SelfSubjectAccessReviewSpec`
const SELF_SUBJECT_ACCESS_REVIEW_SPEC: &[Field] = &[
    field(1, "resourceAttributes", Message(RESOURCE_ATTRIBUTES)),
    field(2, "nonResourceAttributes", Message(NON_RESOURCE_ATTRIBUTES)),
];

/// `SubjectAccessReviewStatus`
const SUBJECT_ACCESS_REVIEW_STATUS: &[Field] = &[
    field(1, "allowed", Bool).kept(),
    field(2, "reason", String),
    field(3, "evaluationError", String),
    field(4, "denied", Bool),
];

/// `SelfSubjectAccessReview`
const SELF_SUBJECT_ACCESS_REVIEW: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "spec", Message(SELF_SUBJECT_ACCESS_REVIEW_SPEC)),
    field(3, "status", Message(SUBJECT_ACCESS_REVIEW_STATUS)),
];

/// `SelfSubjectRulesReviewSpec`
const SELF_SUBJECT_RULES_REVIEW_SPEC: &[Field] = &[field(1, "namespace", String)];

/// `ResourceRule`
const RESOURCE_RULE: &[Field] = &[
    field(1, "verbs", String).list(),
    field(2, "apiGroups", String).list(),
    field(3, "resources", String).list(),
    field(4, "resourceNames", String).list(),
];

/// `NonResourceRule`
const NON_RESOURCE_RULE: &[Field] =
    &[field(1, "verbs", String).list(), field(2, "nonResourceURLs", String).list()];

/// `SubjectRulesReviewStatus`
const SUBJECT_RULES_REVIEW_STATUS: &[Field] = &[
    field(1, "resourceRules", Message(RESOURCE_RULE)).list(),
    field(2, "nonResourceRules", Message(NON_RESOURCE_RULE)).list(),
    field(3, "incomplete", Bool).kept(),
    field(4, "evaluationError", String),
];

/// `SelfSubjectRulesReview`
const SELF_SUBJECT_RULES_REVIEW: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "spec", Message(SELF_SUBJECT_RULES_REVIEW_SPEC)),
    field(3, "status", Message(SUBJECT_RULES_REVIEW_STATUS)),
];

/// `SubjectAccessReviewSpec`
const SUBJECT_ACCESS_REVIEW_SPEC: &[Field] = &[
    field(1, "resourceAttributes", Message(RESOURCE_ATTRIBUTES)),
    field(2, "nonResourceAttributes", Message(NON_RESOURCE_ATTRIBUTES)),
    field(3, "user", String),
    field(4, "groups", String).list(),
    field(5, "extra", Map(&Strings)),
    field(6, "uid", String),
];

/// `SubjectAccessReview`
const SUBJECT_ACCESS_REVIEW: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "spec", Message(SUBJECT_ACCESS_REVIEW_SPEC)),
    field(3, "status", Message(SUBJECT_ACCESS_REVIEW_STATUS)),
];

/// `CertificateSigningRequestSpec`
const SIGNING_REQUEST_SPEC: &[Field] = &[
    field(1, "request", Bytes),
    field(2, "username", String),
    field(3, "uid", String),
    field(4, "groups", String).list(),
    field(5, "usages", String).list(),
    field(6, "extra", Map(&Strings)),
    field(7, "signerName", String).kept(),
    field(8, "expirationSeconds", Integer).kept(),
];

/// `CertificateSigningRequestCondition`
const SIGNING_REQUEST_CONDITION: &[Field] = &[
    field(1, "type", String).kept(),
    field(2, "reason", String),
    field(3, "message", String),
    field(4, "lastUpdateTime", Time),
    field(5, "lastTransitionTime", Time),
    field(6, "status", String).kept(),
];

/// `CertificateSigningRequestStatus`
const SIGNING_REQUEST_STATUS: &[Field] = &[
    field(1, "conditions", Message(SIGNING_REQUEST_CONDITION)).list(),
    field(2, "certificate", Bytes),
];

/// `CertificateSigningRequest`
const SIGNING_REQUEST: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "spec", Message(SIGNING_REQUEST_SPEC)),
    field(3, "status", Message(SIGNING_REQUEST_STATUS)),
];

/// `LeaseSpec`
const LEASE_SPEC: &[Field] = &[
    field(1, "holderIdentity", String).kept(),
    field(2, "leaseDurationSeconds", Integer).kept(),
    field(3, "acquireTime", MicroTime),
    field(4, "renewTime", MicroTime),
    field(5, "leaseTransitions", Integer).kept(),
    field(6, "strategy", String).kept(),
    field(7, "preferredHolder", String).kept(),
];

/// `Lease`
const LEASE: &[Field] =
    &[field(1, "metadata", Message(OBJECT_META)), field(2, "spec", Message(LEASE_SPEC))];

/// `EventSeries`
const EVENT_SERIES: &[Field] =
    &[field(1, "count", Integer), field(2, "lastObservedTime", MicroTime)];

/// `ObjectReference`
const OBJECT_REFERENCE: &[Field] = &[
    field(1, "kind", String),
    field(2, "namespace", String),
    field(3, "name", String),
    field(4, "uid", String),
    field(5, "apiVersion", String),
    field(6, "resourceVersion", String),
    field(7, "fieldPath", String),
];

/// `EventSource`
const EVENT_SOURCE: &[Field] = &[field(1, "component", String), field(2, "host", String)];

/// `Event`
const NEW_EVENT: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "eventTime", MicroTime),
    field(3, "series", Message(EVENT_SERIES)),
    field(4, "reportingController", String),
    field(5, "reportingInstance", String),
    field(6, "action", String),
    field(7, "reason", String),
    field(8, "regarding", Message(OBJECT_REFERENCE)),
    field(9, "related", Message(OBJECT_REFERENCE)),
    field(10, "note", String),
    field(11, "type", String),
    field(12, "deprecatedSource", Message(EVENT_SOURCE)),
    field(13, "deprecatedFirstTimestamp", Time),
    field(14, "deprecatedLastTimestamp", Time),
    field(15, "deprecatedCount", Integer),
];

/// `ConfigMap`
const CONFIG_MAP: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "data", Map(&String)),
    field(3, "binaryData", Map(&Bytes)),
    field(4, "immutable", Bool).kept(),
];

/// `Event`
const EVENT: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "involvedObject", Message(OBJECT_REFERENCE)),
    field(3, "reason", String),
    field(4, "message", String),
    field(5, "source", Message(EVENT_SOURCE)),
    field(6, "firstTimestamp", Time),
    field(7, "lastTimestamp", Time),
    field(8, "count", Integer),
    field(9, "type", String),
    field(10, "eventTime", MicroTime),
    field(11, "series", Message(EVENT_SERIES)),
    field(12, "action", String),
    field(13, "related", Message(OBJECT_REFERENCE)),
    field(14, "reportingComponent", String).kept(),
    field(15, "reportingInstance", String).kept(),
];

/// `NamespaceSpec`
const NAMESPACE_SPEC: &[Field] = &[field(1, "finalizers", String).list()];

/// `NamespaceCondition`
const NAMESPACE_CONDITION: &[Field] = &[
    field(1, "type", String).kept(),
    field(2, "status", String).kept(),
    field(4, "lastTransitionTime", Time),
    field(5, "reason", String),
    field(6, "message", String),
];

/// `NamespaceStatus`
const NAMESPACE_STATUS: &[Field] =
    &[field(1, "phase", String), field(2, "conditions", Message(NAMESPACE_CONDITION)).list()];

/// `Namespace`
const NAMESPACE: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "spec", Message(NAMESPACE_SPEC)),
    field(3, "status", Message(NAMESPACE_STATUS)),
];

/// `Secret`
const SECRET: &[Field] = &[
    field(1, "metadata", Message(OBJECT_META)),
    field(2, "data", Map(&Bytes)),
    field(3, "type", String),
    field(4, "stringData", Map(&String)),
    field(5, "immutable", Bool).kept(),
];

/// `Preconditions`
const PRECONDITIONS: &[Field] =
    &[field(1, "uid", String).kept(), field(2, "resourceVersion", String).kept()];

/// `DeleteOptions`
pub(super) const DELETE_OPTIONS: &[Field] = &[
    field(1, "gracePeriodSeconds", Integer).kept(),
    field(2, "preconditions", Message(PRECONDITIONS)),
    field(3, "orphanDependents", Bool).kept(),
    field(4, "propagationPolicy", String).kept(),
    field(5, "dryRun", String).list(),
    field(6, "ignoreStoreReadErrorWithClusterBreakingPotential", Bool).kept(),
];
