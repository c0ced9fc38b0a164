using Microsoft.Extensions.Options;

namespace NodeLock;

/// <summary>Checks each value by its attributes.</summary>
[OptionsValidator]
internal sealed partial class NodeLockOptionsBounds : IValidateOptions<NodeLockOptions>;

/// <summary>Checks that the values are in bounds and fit together.</summary>
internal sealed class NodeLockOptionsValidator : IValidateOptions<NodeLockOptions>
{
    private static readonly NodeLockOptionsBounds Bounds = new();

    public ValidateOptionsResult Validate(string? name, NodeLockOptions options)
    {
        ValidateOptionsResult bounds = Bounds.Validate(name, options);
        if (bounds.Failed) return bounds;

        ValidateOptionsResultBuilder faults = new();
        // Two renewals in a row may fail or come late without a false death.
        if (options.LeaseDuration < 3 * options.HeartbeatInterval)
            faults.AddError($"{nameof(options.LeaseDuration)} ({options.LeaseDuration}) must be at least three times "
                + $"{nameof(options.HeartbeatInterval)} ({options.HeartbeatInterval})");
        if (options.ReservedWorkers >= options.WorkerPoolSize)
            faults.AddError($"{nameof(options.ReservedWorkers)} ({options.ReservedWorkers}) must be less than "
                + $"{nameof(options.WorkerPoolSize)} ({options.WorkerPoolSize}), or there is no worker for "
                + "work that is not urgent");
        return faults.Build();
    }
}
