using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Xunit;

namespace NodeLock.Tests;

public sealed class NodeLockServiceCollectionExtensionsTests
{
    private readonly ServiceCollection services = new();

    [Fact]
    public async Task A_task_manager_works_in_a_plain_service_provider()
    {
        services.AddNodeLock().UseInMemory();
        await using ServiceProvider provider = services.BuildServiceProvider();
        TaskManager manager = provider.GetRequiredService<TaskManager>();

        await using TaskScope task = await manager.AcquireAsync(Guid.NewGuid(), "test");

        task.EnsureHeld();
        Assert.Same(manager, provider.GetRequiredService<TaskManager>());
    }

    [Fact]
    public async Task Settings_from_code_and_nodes_that_exist_take_effect()
    {
        services.AddNodeLock(o => o.ConductorName = "rack-7").UseInMemory([1]);
        await using ServiceProvider provider = services.BuildServiceProvider();
        TaskManager manager = provider.GetRequiredService<TaskManager>();

        Assert.StartsWith("rack-7/", manager.Holder);
        await using (await manager.AcquireAsync(1, "test")) { }
        await Assert.ThrowsAsync<NodeNotFoundException>(() => manager.AcquireAsync(2, "test").WithinLimit());
    }

    [Fact]
    public void A_second_registration_without_a_key_is_refused()
    {
        services.AddNodeLock().UseInMemory();

        string message = Assert.Throws<InvalidOperationException>(() => services.AddNodeLock()).Message;

        Assert.Contains("NodeLock is registered already", message);
        Assert.Contains("AddKeyedNodeLock", message);
    }

    [Fact]
    public void A_second_registration_under_one_key_is_refused_by_its_key()
    {
        services.AddKeyedNodeLock("images").UseInMemory();

        Assert.Contains("\"images\" is registered already",
            Assert.Throws<InvalidOperationException>(() => services.AddKeyedNodeLock("images")).Message);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("images")]
    public void A_second_repository_is_refused(string? key)
    {
        NodeLockBuilder builder = (key is null ? services.AddNodeLock() : services.AddKeyedNodeLock(key)).UseInMemory();

        string message = Assert.Throws<InvalidOperationException>(() => builder.UseInMemory()).Message;

        Assert.Contains("has a repository already; call one Use… method only", message);
        Assert.Contains(key ?? "NodeLock", message);
    }

    [Fact]
    public async Task Without_a_repository_the_host_does_not_start_and_says_what_to_call()
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddNodeLock();
        using IHost host = builder.Build();

        string message = (await Assert.ThrowsAsync<InvalidOperationException>(() => host.StartAsync())).Message;

        Assert.Contains("UseInMemory()", message);
        Assert.Contains("UseEntityFrameworkCore", message);
    }

    [Fact]
    public async Task Kinds_have_task_managers_and_nodes_of_their_own()
    {
        services.AddNodeLock().UseInMemory();
        services.AddKeyedNodeLock("images", o => o.ConductorName = "of-images").UseInMemory();
        services.AddKeyedNodeLock("tenants", new ConfigurationBuilder().AddInMemoryCollection(
            [new("ConductorName", "of-tenants")]).Build()).UseInMemory();
        services.AddSingleton<UsesImages>();
        await using ServiceProvider provider = services.BuildServiceProvider();
        TaskManager images = provider.GetRequiredService<UsesImages>().Images;
        TaskManager tenants = provider.GetRequiredKeyedService<TaskManager>("tenants");

        Assert.StartsWith("of-images/", images.Holder);
        Assert.StartsWith("of-tenants/", tenants.Holder);
        await using TaskScope one = await provider.GetRequiredService<TaskManager>().AcquireAsync(1, "test");
        await using TaskScope? other = await images.TryAcquireAsync(1, "test");
        Assert.NotNull(other);
    }

    [Fact]
    public async Task All_conductors_start_and_end_with_the_host()
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        InMemoryNodeLockRepository store = new();
        builder.Services.AddNodeLock().UseRepository(_ => store);
        builder.Services.AddKeyedNodeLock("images").UseRepository(_ => store);
        using IHost host = builder.Build();

        await host.StartAsync();
        Assert.Equal(2, store.Conductors.Values.Count(c => c.IsAlive));
        await host.StopAsync();

        Assert.Equal(2, store.Conductors.Values.Count(c => !c.IsAlive));
    }

    [Fact]
    public void Missing_arguments_are_refused()
    {
        Assert.Throws<ArgumentNullException>(() => ((IServiceCollection)null!).AddNodeLock());
        Assert.Throws<ArgumentException>(() => services.AddKeyedNodeLock(" "));
        Assert.Throws<ArgumentNullException>(() => services.AddNodeLock().UseRepository(null!));
        Assert.Throws<ArgumentNullException>(() => new TaskManager(null!));
    }

    private sealed class UsesImages([FromKeyedServices("images")] TaskManager images)
    {
        public TaskManager Images => images;
    }
}
