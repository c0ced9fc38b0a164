using System.Diagnostics.Metrics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using NodeLock;

namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Registers a <see cref="TaskManager"/> and its conductor.</summary>
public static class NodeLockServiceCollectionExtensions
{
    /// <summary>Registers a task manager with the default settings, or those configured elsewhere.</summary>
    /// <returns>A builder on which to say where the reservations are kept.</returns>
    /// <exception cref="InvalidOperationException">NodeLock is registered already.</exception>
    public static NodeLockBuilder AddNodeLock(this IServiceCollection services) => Add(services, null, _ => { });

    /// <summary>Registers a task manager with settings from the configuration, which is followed when it
    /// changes.</summary>
    /// <inheritdoc cref="AddNodeLock(IServiceCollection)"/>
    public static NodeLockBuilder AddNodeLock(this IServiceCollection services, IConfiguration section) =>
        Add(services, null, options => options.Bind(section));

    /// <summary>Registers a task manager with settings from code.</summary>
    /// <inheritdoc cref="AddNodeLock(IServiceCollection)"/>
    public static NodeLockBuilder AddNodeLock(this IServiceCollection services, Action<NodeLockOptions> configure) =>
        Add(services, null, options => options.Configure(configure));

    /// <summary>Registers a task manager for a further kind of node, to be asked for by its key.</summary>
    /// <param name="services">The services.</param>
    /// <param name="key">The key, as in <c>[FromKeyedServices("images")]</c>.</param>
    /// <returns>A builder on which to say where the reservations are kept.</returns>
    /// <exception cref="InvalidOperationException">NodeLock is registered already under this key.</exception>
    public static NodeLockBuilder AddKeyedNodeLock(this IServiceCollection services, string key) =>
        Add(services, KeyOf(key), _ => { });

    /// <inheritdoc cref="AddKeyedNodeLock(IServiceCollection, string)"/>
    public static NodeLockBuilder AddKeyedNodeLock(this IServiceCollection services, string key,
        IConfiguration section) => Add(services, KeyOf(key), options => options.Bind(section));

    /// <inheritdoc cref="AddKeyedNodeLock(IServiceCollection, string)"/>
    public static NodeLockBuilder AddKeyedNodeLock(this IServiceCollection services, string key,
        Action<NodeLockOptions> configure) => Add(services, KeyOf(key), options => options.Configure(configure));

    private static NodeLockBuilder Add(IServiceCollection services, string? key,
        Action<OptionsBuilder<NodeLockOptions>> configure)
    {
        ArgumentNullException.ThrowIfNull(services);
        NodeLockBuilder builder = new(services, key);
        if (services.Any(s => s.ServiceType == typeof(TaskManager) && Equals(s.ServiceKey, key)))
            throw new InvalidOperationException($"{builder.Name} is registered already. Register a second kind of node "
                + "with AddKeyedNodeLock and a key of its own.");

        configure(services.AddOptions<NodeLockOptions>(key ?? Options.Options.DefaultName));
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<NodeLockOptions>,
            NodeLockOptionsValidator>());
        services.TryAddSingleton(TimeProvider.System);
        if (key is null) services.AddSingleton(provider => Create(provider, builder));
        else services.AddKeyedSingleton(key, (provider, _) => Create(provider, builder));
        services.AddSingleton<IHostedService>(provider => new ConductorLifetime(TaskManagerOf(provider, key)));
        return builder;
    }

    private static TaskManager Create(IServiceProvider provider, NodeLockBuilder builder)
    {
        INodeLockRepository repository = provider.GetKeyedService<INodeLockRepository>(builder.Key)
            ?? throw new InvalidOperationException($"{builder.Name} has no repository. Call UseEntityFrameworkCore<…> "
                + "or UseInMemory() on what AddNodeLock returned.");
        ILogger log = TaskManager.LogOf(provider.GetService<ILoggerFactory>());
        LiveOptions settings = new(builder.Key ?? Options.Options.DefaultName,
            provider.GetRequiredService<IOptionsFactory<NodeLockOptions>>(),
            provider.GetServices<IOptionsChangeTokenSource<NodeLockOptions>>(), log);
        INodeFence? fence = builder.HasFence
            ? new ScopedFence(provider.GetRequiredService<IServiceScopeFactory>(), builder.Key)
            : null;
        return new TaskManager(repository, fence, settings, provider.GetRequiredService<TimeProvider>(), log,
            provider.GetService<IMeterFactory>());
    }

    private static TaskManager TaskManagerOf(IServiceProvider provider, string? key) =>
        key is null ? provider.GetRequiredService<TaskManager>() : provider.GetRequiredKeyedService<TaskManager>(key);

    private static string KeyOf(string key)
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(key);
        return key;
    }
}
