using Xunit;

namespace NodeLock.Tests.Safety;

/// <summary>Tests that start many processes or measure time: they run one by one, after all others.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AloneOnTheMachine
{
    public const string Name = "alone on the machine";
}
