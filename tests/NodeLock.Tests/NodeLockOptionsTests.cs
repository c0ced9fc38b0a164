using System.Globalization;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;
using Xunit;

namespace NodeLock.Tests;

public sealed class NodeLockOptionsTests
{
    private static readonly NodeLockOptionsValidator Validator = new();

    [Fact]
    public void The_defaults_are_those_of_the_documentation()
    {
        NodeLockOptions options = new();

        Assert.Equal(Environment.MachineName, options.ConductorName);
        Assert.Equal(3, options.NodeLockedRetryAttempts);
        Assert.Equal(TimeSpan.FromSeconds(1), options.NodeLockedRetryInterval);
        Assert.Equal(TimeSpan.FromSeconds(60), options.LeaseDuration);
        Assert.Equal(TimeSpan.FromSeconds(10), options.HeartbeatInterval);
        Assert.Equal(TimeSpan.FromSeconds(5), options.ReleaseTimeout);
        Assert.Equal(1000, options.MaxWaiters);
        Assert.Equal((100, 5), (options.WorkerPoolSize, options.ReservedWorkers));
        Assert.Equal(TimeSpan.FromMinutes(5), options.LongHoldThreshold);
        Assert.Equal(TimeSpan.FromSeconds(10), options.LongWaitThreshold);
        Assert.True(Validator.Validate(null, options).Succeeded);
    }

    public static TheoryData<string, string> OutOfBounds => new()
    {
        { "ConductorName", "" },
        { "ConductorName", "with space" },
        { "ConductorName", "with/slash" },
        { "ConductorName", "with\u0001control" },
        { "ConductorName", new string('x', 101) },
        { "NodeLockedRetryAttempts", "0" },
        { "NodeLockedRetryAttempts", "1000001" },
        { "NodeLockedRetryInterval", "00:00:00.0009999" },
        { "NodeLockedRetryInterval", "1.00:00:00.0000001" },
        { "LeaseDuration", "00:00:00.2999999" },
        { "LeaseDuration", "1.00:00:00.0000001" },
        { "HeartbeatInterval", "00:00:00.0999999" },
        { "HeartbeatInterval", "08:00:00.0000001" },
        { "ReleaseTimeout", "00:00:00.0099999" },
        { "ReleaseTimeout", "01:00:00.0000001" },
        { "MaxWaiters", "-1" },
        { "WorkerPoolSize", "0" },
        { "WorkerPoolSize", "1000001" },
        { "ReservedWorkers", "-1" },
        { "ReservedWorkers", "1000001" },
        { "LongHoldThreshold", "00:00:00" },
        { "LongHoldThreshold", "365.00:00:00.0000001" },
        { "LongWaitThreshold", "-00:00:01" },
        { "LongWaitThreshold", "365.00:00:00.0000001" },
    };

    [Theory]
    [MemberData(nameof(OutOfBounds))]
    public void A_value_out_of_bounds_is_refused_by_name(string setting, string value)
    {
        ValidateOptionsResult result = Validator.Validate(null, Bind((setting, value)));

        Assert.True(result.Failed);
        Assert.Contains(setting, result.FailureMessage);
    }

    [Fact]
    public void The_bounds_themselves_are_allowed_in_every_culture()
    {
        CultureInfo before = CultureInfo.CurrentCulture;
        try
        {
            foreach (string culture in new[] { "en-US", "de-DE", "fa-IR" })
            {
                CultureInfo.CurrentCulture = new CultureInfo(culture);
                ValidateOptionsResult least = Validator.Validate(null, Bind(("LeaseDuration", "00:00:00.3"),
                    ("HeartbeatInterval", "00:00:00.1"), ("ReleaseTimeout", "00:00:00.01"), ("MaxWaiters", "0"),
                    ("NodeLockedRetryAttempts", "1"), ("NodeLockedRetryInterval", "00:00:00.001"),
                    ("LongHoldThreshold", "00:00:00.001"), ("LongWaitThreshold", "00:00:00.001")));
                Assert.True(least.Succeeded, $"{culture}: {least.FailureMessage}");
                ValidateOptionsResult most = Validator.Validate(null, Bind(("LeaseDuration", "1.00:00:00"),
                    ("HeartbeatInterval", "08:00:00"), ("ReleaseTimeout", "01:00:00"),
                    ("NodeLockedRetryAttempts", "1000000"), ("NodeLockedRetryInterval", "1.00:00:00"),
                    ("ConductorName", new string('x', 100))));
                Assert.True(most.Succeeded, $"{culture}: {most.FailureMessage}");
            }
        }
        finally
        {
            CultureInfo.CurrentCulture = before;
        }
    }

    [Fact]
    public void A_lease_under_three_heartbeats_is_refused_with_both_values()
    {
        string? message = Validator.Validate(null,
            Bind(("LeaseDuration", "00:00:29.999"), ("HeartbeatInterval", "00:00:10"))).FailureMessage;

        Assert.Contains("LeaseDuration (00:00:29.9990000)", message);
        Assert.Contains("HeartbeatInterval (00:00:10)", message);
        Assert.True(Validator.Validate(null, Bind(("LeaseDuration", "00:00:30"))).Succeeded);
    }

    [Fact]
    public void As_many_reserved_workers_as_workers_are_refused_with_both_values()
    {
        string? message = Validator.Validate(null,
            Bind(("WorkerPoolSize", "7"), ("ReservedWorkers", "7"))).FailureMessage;

        Assert.Contains("ReservedWorkers (7)", message);
        Assert.Contains("WorkerPoolSize (7)", message);
        Assert.True(Validator.Validate(null, Bind(("WorkerPoolSize", "7"), ("ReservedWorkers", "6"))).Succeeded);
        Assert.True(Validator.Validate(null, Bind(("WorkerPoolSize", "1"), ("ReservedWorkers", "0"))).Succeeded);
        Assert.True(Validator.Validate(null,
            Bind(("WorkerPoolSize", "1000000"), ("ReservedWorkers", "999999"))).Succeeded);
    }

    [Fact]
    public void All_values_that_are_out_of_bounds_are_named_at_once()
    {
        string? message = Validator.Validate(null, Bind(("MaxWaiters", "-1"),
            ("ReleaseTimeout", "00:00:00"))).FailureMessage;

        Assert.Contains("MaxWaiters", message);
        Assert.Contains("ReleaseTimeout", message);
    }

    [Fact]
    public async Task A_host_with_a_bad_configuration_does_not_start()
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Configuration.AddInMemoryCollection([new("NodeLock:LeaseDuration", "00:00:20")]);
        builder.Services.AddNodeLock(builder.Configuration.GetSection("NodeLock")).UseInMemory();
        using IHost host = builder.Build();

        OptionsValidationException e = await Assert.ThrowsAsync<OptionsValidationException>(() => host.StartAsync());

        Assert.Contains("LeaseDuration (00:00:20)", e.Message);
    }

    [Fact]
    public void A_task_manager_made_by_hand_refuses_the_same()
    {
        OptionsValidationException e = Assert.Throws<OptionsValidationException>(() => new TaskManager(
            new InMemoryNodeLockRepository(), new NodeLockOptions { LeaseDuration = TimeSpan.FromSeconds(20) }));

        Assert.Contains("LeaseDuration (00:00:20)", e.Message);
    }

    [Fact]
    public async Task Options_given_to_a_task_manager_are_not_read_again()
    {
        NodeLockOptions options = new() { NodeLockedRetryAttempts = 1 };
        await using World world = new();
        TaskManager manager = world.NewManager(options: options);
        await using TaskScope held = await world.Manager.AcquireAsync(1, "in the way");

        options.NodeLockedRetryAttempts = 0;

        NodeLockedException e = await Assert.ThrowsAsync<NodeLockedException>(
            () => manager.AcquireAsync(1, "test").WithinLimit());
        Assert.Equal(1, e.Attempts);
    }

    private static NodeLockOptions Bind(params (string Setting, string Value)[] settings)
    {
        NodeLockOptions options = new();
        new ConfigurationBuilder().AddInMemoryCollection(settings.Select(s => KeyValuePair.Create<string, string?>(
            s.Setting, s.Value))).Build().Bind(options);
        return options;
    }
}
