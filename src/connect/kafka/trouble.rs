//! What the error codes of the client library mean for a job.

use rdkafka::error::RDKafkaErrorCode as Code;

use crate::error::ErrorKind;

/// What an error code asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// A broker is away or busy; the client goes on by itself.
    Passing,
    /// It touches nothing that we use.
    Harmless,
    /// The wanted offset is not in the partition (any more).
    OffsetGone,
    /// Somebody has to act.
    Lasting(ErrorKind),
}

/// Returns what `code` asks for.
pub(super) fn judge(code: Code) -> Trouble {
    match code {
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::MessageTimedOut
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::ReplicaNotAvailable
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::NetworkException
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::KafkaStorageError
        | Code::WaitingForCoordinator
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::CoordinatorLoadInProgress => Trouble::Passing,
        // The group is only a name: nobody joins it.
        Code::GroupAuthorizationFailed => Trouble::Harmless,
        Code::AutoOffsetReset | Code::OffsetOutOfRange => Trouble::OffsetGone,
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::SSL
        | Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition
        | Code::InvalidTopic
        | Code::InvalidRequiredAcks
        | Code::PolicyViolation => Trouble::Lasting(ErrorKind::Invalid),
        Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::InvalidTimestamp
        | Code::InvalidRecord
        | Code::InvalidMessage
        | Code::InvalidMessageSize
        | Code::BadMessage
        | Code::BadCompression => Trouble::Lasting(ErrorKind::Data),
        _ => Trouble::Lasting(ErrorKind::Unavailable),
    }
}

/// Returns the kind of an error that is reported for `code`.
pub(super) fn kind(code: Code) -> ErrorKind {
    match judge(code) {
        Trouble::Passing | Trouble::Harmless => ErrorKind::Unavailable,
        Trouble::OffsetGone => ErrorKind::Invalid,
        Trouble::Lasting(kind) => kind,
    }
}
