using Microsoft.AspNetCore.Http.HttpResults;

namespace NodeLock.ConductorService;

/// <summary>A deployment as a client sees it.</summary>
internal sealed record DeploymentView(string NodeId, string Image, DeploymentState State, int Progress,
    DateTimeOffset Since, string? Outcome)
{
    public static DeploymentView Of(Deployment deployment) => new(deployment.NodeId, deployment.Image, deployment.State,
        deployment.Progress, deployment.Since, deployment.Outcome);
}

internal static class DeploymentEndpoints
{
    public static void MapDeployments(this IEndpointRouteBuilder app)
    {
        app.MapPost("/nodes/{id}/deploy", BeginAsync);
        app.MapGet("/nodes/{id}/deployment", GetAsync);
    }

    private static async Task<Results<Accepted<DeploymentView>, ProblemHttpResult>> BeginAsync(NodeId id,
        DeployRequest request, Deployments deployments, CancellationToken cancellationToken) =>
        await deployments.TryBeginAsync(id, request, cancellationToken) is { } begun
            ? TypedResults.Accepted($"/nodes/{Uri.EscapeDataString(begun.NodeId)}/deployment", DeploymentView.Of(begun))
            : TypedResults.Problem($"Node {id} is on. Switch it off before it is deployed.",
                statusCode: StatusCodes.Status409Conflict, title: "The node is on");

    private static async Task<Results<Ok<DeploymentView>, ProblemHttpResult>> GetAsync(NodeId id,
        Deployments deployments, CancellationToken cancellationToken) =>
        await deployments.FindAsync(id, cancellationToken) is { } deployment
            ? TypedResults.Ok(DeploymentView.Of(deployment))
            : TypedResults.Problem($"Node {id} has never been deployed.",
                statusCode: StatusCodes.Status404NotFound, title: "There is no deployment");
}
